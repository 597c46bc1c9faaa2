WITH snow AS (
    SELECT DISTINCT month(date) AS month, day(date) AS day
    FROM weather.daily
    WHERE weather = 'snow'
)
SELECT a.state, count(*) AS flights, round(avg(f.delay), 2) AS average_delay
FROM flights.delays f
JOIN airports.airport a ON f.origin = a.iata
JOIN snow s ON month(f.date) = s.month AND day(f.date) = s.day
GROUP BY a.state
ORDER BY average_delay DESC, a.state
