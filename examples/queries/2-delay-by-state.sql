SELECT a.state, count(*) AS flights, round(avg(f.delay), 2) AS average_delay
FROM flights.delays f
JOIN airports.airport a ON f.origin = a.iata
GROUP BY a.state
ORDER BY average_delay DESC, a.state
