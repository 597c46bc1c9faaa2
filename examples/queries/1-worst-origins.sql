SELECT origin, count(*) AS flights, round(avg(delay), 2) AS average_delay
FROM flights.delays
GROUP BY origin
HAVING count(*) >= 1000
ORDER BY average_delay DESC, origin
LIMIT 10
