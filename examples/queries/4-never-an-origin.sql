SELECT iata FROM airports.airport
EXCEPT
SELECT origin FROM flights.delays
ORDER BY iata
