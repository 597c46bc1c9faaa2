SELECT f.date, f.delay, f.destination, a.city
FROM flights.delays f
JOIN airports.airport a ON f.origin = a.iata
WHERE f.origin = 'SEA' AND f.delay > 120
ORDER BY f.delay DESC, f.date, f.destination
