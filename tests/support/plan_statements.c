#include "tests/support/plan_statements.h"

#define D "flights.delays"
#define A "airports.airport"
#define E "airports.delays" /* As D is called. */
#define AW "(SELECT * FROM airports.airport WHERE state = 'WA')"

const char *const plan_statements[] = {
    "SELECT * FROM " D,
    "SELECT count(*) FROM " D,
    "SELECT count(*) FROM " D " WHERE origin = 'SEA'",
    "SELECT id FROM " D " WHERE delay > 4 AND origin <> 'SEA'",
    "SELECT id FROM " D " WHERE origin IN ('SEA', 'nope', NULL)",
    "SELECT id FROM " D " WHERE origin IN ('a', 'b', 'c', 'd', 'SEA', 'ATL')",
    "SELECT id FROM " D " WHERE origin NOT IN ('a', 'b', 'c', 'd', 'SEA', 'ATL')",
    "SELECT id FROM " D " WHERE origin NOT IN ('SEA', 'ATL')",
    "SELECT id FROM " D " WHERE note IS NULL OR note = ''",
    "SELECT id FROM " D " WHERE note LIKE 'l%' AND date IS NOT NULL",
    "SELECT id FROM " D " WHERE date BETWEEN '2001-01-02' AND '2001-02-02'",
    "SELECT id FROM " D " WHERE date > '2001-01-02' AND date < DATE '2001-03-01'",
    "SELECT id FROM " D " WHERE delay IS NOT DISTINCT FROM 45",
    "SELECT id FROM " D " WHERE delay IS DISTINCT FROM 45",
    "SELECT id FROM " D " WHERE NOT (delay > 5 OR origin = 'JFK')",
    "SELECT id FROM " D " WHERE origin > 'B' AND origin < 'T'",
    "SELECT id FROM " D " WHERE origin > destination",
    "SELECT id FROM " D " WHERE origin BETWEEN 'J' AND 'SFO'",
    "SELECT id FROM " D " WHERE 'SEA' <= origin",
    "SELECT id FROM " D " WHERE delay > 100000 OR delay < -2",
    "SELECT id FROM " D " WHERE delay = 45.0 AND id > 6.5",
    "SELECT origin, count(*), sum(delay), min(note), max(note) FROM " D " GROUP BY origin",
    "SELECT origin, destination FROM " D " GROUP BY ALL HAVING min(note) > 'a'",
    "SELECT DISTINCT origin FROM " D,
    "SELECT DISTINCT note, origin, note FROM " D,
    "SELECT DISTINCT destination AS origin, origin AS destination FROM " D " ORDER BY origin, "
    "destination LIMIT 7",
    "SELECT DISTINCT origin AS o, o AS p, delay FROM " D " ORDER BY p, delay DESC, o",
    "SELECT DISTINCT origin, delay FROM " D " WHERE id < 0",
    "SELECT DISTINCT ON (origin) origin, id FROM " D " ORDER BY origin, id DESC",
    "SELECT origin FROM " D " ORDER BY origin DESC LIMIT 3",
    "SELECT origin FROM " D " ORDER BY origin NULLS FIRST LIMIT 3",
    "SELECT count(DISTINCT origin), count(origin), min(origin), max(origin) FROM " D,
    "SELECT sum(CASE WHEN origin = 'SEA' THEN 1 ELSE 2 END) FROM " D,
    "SELECT count(*) FILTER (WHERE origin = 'SEA') FROM " D,
    "SELECT origin, count(*) FROM " D " GROUP BY ROLLUP (origin)",
    "SELECT origin, row_number() OVER (PARTITION BY origin ORDER BY id) FROM " D,
    "SELECT id, lag(origin) OVER (ORDER BY id) FROM " D " QUALIFY id > 2",
    "SELECT upper(origin) || '-' || coalesce(note, '?'), typeof(origin) FROM " D,
    "SELECT hash(x) FROM (SELECT origin AS x FROM " D ") q",
    "SELECT typeof(x) FROM (SELECT min(origin) AS x FROM " D ") q",
    "SELECT list(origin ORDER BY id) FROM " D,
    "SELECT d FROM " D " d",
    "SELECT d.* EXCLUDE (note) REPLACE (id + 1 AS id) FROM " D " d",
    "SELECT COLUMNS('^o') FROM " D,
    "SELECT f.b FROM " D " f(a, b) WHERE f.a > 3",
    "SELECT flights.delays.id FROM flights.delays WHERE flights.delays.delay > 5",
    "SELECT a.city, count(*) FROM " D " d JOIN " A " a ON d.origin = a.iata GROUP BY a.city",
    "SELECT d.id, a.city FROM " D " d LEFT JOIN " A " a ON d.origin = a.iata AND a.state = "
    "'WA' WHERE d.delay > 0",
    "SELECT d.id, a.city FROM " D " d RIGHT JOIN " A " a ON d.origin = a.iata",
    "SELECT d.id, a.city FROM " D " d FULL JOIN " A " a ON d.destination = a.iata",
    "SELECT iata FROM " A " FULL JOIN (SELECT origin AS iata FROM " D ") q USING (iata)",
    "SELECT count(*) FROM " D " a, " D " b WHERE a.origin = b.destination",
    "SELECT a.iata, b.id, c.hub FROM " A " a CROSS JOIN " D " b RIGHT JOIN flights.carrier c ON "
    "a.iata = c.hub AND b.origin = c.hub",
    "SELECT a.iata, b.id, c.hub FROM flights.carrier c LEFT JOIN (" A " a CROSS JOIN " D " b) ON "
    "a.iata = c.hub AND b.delay > 5",
    "SELECT c.hub, u FROM flights.carrier c LEFT JOIN (" A " a CROSS JOIN unnest([a.iata]) q(u)) "
    "ON a.iata = c.hub",
    "SELECT x.id FROM " D " x JOIN " D " y USING (id) WHERE y.delay > 5",
    "SELECT DISTINCT origin FROM " D " INTERSECT SELECT iata FROM " A,
    "SELECT iata FROM " A " EXCEPT SELECT origin FROM " D,
    "SELECT origin FROM " D " UNION SELECT iata FROM " A " UNION SELECT 'zzz'",
    "SELECT origin FROM " D " UNION ALL SELECT hub FROM flights.carrier",
    "SELECT typeof(n) FROM (SELECT (SELECT min(NULL) FROM " D ") AS n FROM " A " UNION ALL "
    "SELECT 1.5 FROM " A ") q",
    "SELECT typeof(t) FROM (SELECT max(date)::TIMESTAMP_S AS t FROM " D ") q, " A,
    "SELECT typeof(e) FROM (SELECT [] AS e FROM " D " LIMIT 1) q, " A,
    "SELECT typeof(origin) FROM (SELECT origin FROM " D " UNION ALL SELECT hub FROM "
    "flights.carrier) q",
    "SELECT iata FROM " A " WHERE iata NOT IN (SELECT origin FROM " D " WHERE origin IS NOT "
    "NULL)",
    "SELECT iata FROM " A " WHERE iata = ANY (SELECT origin FROM " D ")",
    "SELECT iata FROM " A " WHERE iata >= ALL (SELECT hub FROM flights.carrier)",
    "SELECT iata, (SELECT max(delay) FROM " D " WHERE origin = iata AND id > 1) FROM " A,
    "SELECT iata FROM " A " a WHERE EXISTS (SELECT 1 FROM " D " d WHERE d.origin = a.iata)",
    "SELECT iata FROM " A " WHERE latitude > (SELECT avg(latitude) FROM " A ")",
    "SELECT length((SELECT min(origin) FROM " D "))",
    "SELECT a.iata, q.n FROM " A " a, LATERAL (SELECT count(*) AS n FROM " D " d WHERE "
    "d.origin = a.iata) q",
    "WITH c AS (SELECT * FROM " D ") SELECT a.id, b.id FROM c a JOIN c b ON a.origin = "
    "b.destination WHERE a.delay > 3",
    "WITH c AS NOT MATERIALIZED (SELECT * FROM " D ") SELECT a.id, b.id FROM c a JOIN c b ON "
    "a.origin = b.destination",
    "WITH c(x, y) AS (SELECT origin, id FROM " D ") SELECT x, max(y) FROM c GROUP BY x",
    "WITH delays AS (SELECT 1 AS id) SELECT a.id, b.id FROM delays a, " D " b",
    "WITH RECURSIVE r(n) AS (SELECT 'JFK' UNION SELECT destination FROM r JOIN " D " f ON r.n "
    "= f.origin) SELECT * FROM r",
    "WITH RECURSIVE r(n) AS (SELECT origin FROM " D " WHERE id = 3 UNION SELECT destination "
    "FROM r JOIN " D " f ON r.n = f.origin WHERE f.delay > 1) SELECT * FROM r",
    "SELECT * FROM (WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT id + 2 FROM r JOIN " D
    " ON id = n) SELECT n FROM r) q JOIN " A " ON n < 3",
    "SELECT * FROM " D " PIVOT (count(*) FOR origin IN ('SEA', 'JFK') GROUP BY destination)",
    "SELECT id, name, value FROM " D " UNPIVOT (value FOR name IN (origin, destination))",
    "SELECT i, origin FROM range(4) r(i) JOIN " D " ON id = i",
    "SELECT unnest([origin, destination]) FROM " D,
    "SELECT * FROM (VALUES ('SEA'), ('zz')) q(origin) LEFT JOIN " D " USING (origin)",
    "SELECT id FROM " D " ORDER BY id OFFSET 3",
    "SELECT id FROM " D " WHERE delay > 1 ORDER BY id LIMIT 2",
    "SELECT q.id, a.city FROM (SELECT id, origin FROM " D " WHERE delay > 1 ORDER BY id LIMIT 4) q "
    "JOIN " A " a ON q.origin = a.iata WHERE q.id > 1",
    "SELECT a.id, b.id FROM " D " a RIGHT JOIN " D " b USING (id) WHERE a.origin IS NULL",
    "SELECT id FROM " D " WHERE id = 7 / 2",
    "SELECT id / 2, id / 2.0 FROM " D " WHERE 0 = -1 / 6",
    "SELECT count(x), count(*) FROM (SELECT 1 AS x FROM " D " WHERE id = 3) q",
    "SELECT count(x), count(*), a.iata FROM (SELECT 1 AS x, origin FROM " D
    " WHERE id > 3) q JOIN " A
    " a ON a.iata = q.origin WHERE a.iata > 'A' GROUP BY a.iata, q.origin",
    "SELECT a.id, b.iata FROM " D " a ASOF JOIN " A " b ON a.origin >= b.iata",
    "SELECT string_agg(origin, ',' ORDER BY origin, id) FROM " D,
    "SELECT origin IN ('SEA') AS o, origin IS NULL FROM " D,
    "SELECT id FROM " D " SEMI JOIN " A " ON origin = iata",
    "SELECT id FROM " D " ANTI JOIN " A " ON origin = iata",
    "SELECT 7 / 2, -7 % 3, 1.50, 'it''s', [1, 2], {'k': 1}, DATE '2020-01-01'",
    "SELECT list_transform([1, 2], lambda x: x + id) AS l FROM " D,
    /* Parts that one owner can run. */
    "SELECT a.city, q.n FROM " A " a JOIN (SELECT origin, count(*) AS n FROM " D
    " GROUP BY origin) q ON q.origin = a.iata",
    "SELECT a.city, q.* FROM " A " a LEFT JOIN (SELECT origin, count(*), sum(delay), avg(delay) "
    "FROM " D " GROUP BY 1 HAVING count(*) > 1) q ON q.origin = a.iata",
    "SELECT count(*) FROM " A " a, (SELECT DISTINCT origin, note FROM " D ") q",
    "SELECT a.iata, q.\"count_star()\" FROM " A " a, (SELECT count(*) FROM " D ") q",
    "SELECT a.iata FROM " A " a WHERE a.latitude > (SELECT max(delay) / 4.0 FROM " D ")",
    "SELECT iata FROM " A " WHERE iata IN (SELECT origin FROM " D
    " GROUP BY 1 HAVING count(*) > 1)",
    "SELECT iata, (SELECT NULL FROM " D " LIMIT 1), (SELECT max(note) FROM " D ") FROM " A,
    "WITH n AS (SELECT origin, count(*) AS n FROM " D " GROUP BY origin) SELECT a.iata, x.n, y.n "
    "FROM " A " a LEFT JOIN n x ON x.origin = a.iata LEFT JOIN n y ON y.n = x.n + 1",
    "WITH n AS (SELECT origin FROM " D " WHERE id < 5), m AS (SELECT origin, count(*) AS c FROM n "
    "GROUP BY origin) SELECT iata, c FROM m JOIN " A " ON origin = iata",
    "SELECT d.origin, c.code FROM (SELECT d.origin, c.code FROM " D
    " d JOIN flights.carrier c ON c.hub = d.origin) q(origin, code), LATERAL (SELECT q.origin, "
    "q.code) d(origin, x), flights.carrier c, " A " a WHERE a.iata = d.origin AND c.code = x",
    "SELECT iata, (SELECT count(*) FROM " D " d JOIN flights.carrier c ON c.hub = d.origin WHERE "
    "d.destination = a.iata) FROM " A " a",
    "SELECT origin FROM " D " UNION SELECT iata FROM " A " ORDER BY origin DESC LIMIT 3",
    "SELECT origin, delay FROM " D " WHERE delay > 3 EXCEPT SELECT iata, 45 FROM " A,
    "SELECT note AS x, id FROM " D " INTERSECT SELECT city, 1 FROM " A " ORDER BY x",
    "SELECT * FROM (SELECT origin AS a, destination AS a FROM " D " LIMIT 100) q, " A " WHERE "
    "iata = 'SEA'",
    "SELECT x.iata FROM " A " x JOIN (SELECT min(origin) AS \"select\", max(delay) AS \"a\"\"b\" "
    "FROM " D ") q ON q.\"select\" = x.iata AND q.\"a\"\"b\" > 1",
    "SELECT fm_part.iata FROM " A " fm_part, (SELECT max(id) AS c0 FROM " D ") q WHERE c0 > 1",
    "SELECT c0 FROM (SELECT origin AS c1, id AS c0 FROM " D " ORDER BY id LIMIT 4) q JOIN " A
    " ON c1 = iata",
    "SELECT iata, r.n FROM " A ", (WITH RECURSIVE r(n) AS (SELECT 'JFK' UNION SELECT destination "
    "FROM r JOIN " D " f ON r.n = f.origin) SELECT n FROM r) r WHERE r.n = iata",
    "SELECT id, origin FROM " D " UNION ALL SELECT 100, iata FROM " A
    " ORDER BY id DESC, 2 LIMIT 4",
    "SELECT id AS n, origin FROM " D " UNION ALL SELECT 4, iata FROM " A
    " UNION ALL SELECT 3, city "
    "FROM " A " WHERE city IS NOT NULL ORDER BY n, origin NULLS FIRST LIMIT 5 OFFSET 4",
    "(SELECT id, origin FROM " D " ORDER BY id LIMIT 2) UNION ALL SELECT 4, iata FROM " A
    " ORDER BY 2 DESC NULLS LAST, 1 LIMIT 3",
    "SELECT count(*) FROM (SELECT id FROM " D " UNION ALL SELECT 1 FROM " A " LIMIT 7) q",
    "SELECT id FROM " D " UNION ALL SELECT 1 FROM " A " LIMIT 0",
    "SELECT id FROM " D " UNION ALL SELECT latitude::VARCHAR FROM " A " ORDER BY id LIMIT 3",
    "SELECT delay FROM " D " UNION ALL SELECT latitude FROM " A " ORDER BY 1 LIMIT 3",
    "SELECT * FROM " D
    " UNION ALL SELECT id, delay, origin, 'x', 'y', date FROM (SELECT 77 AS id, 5 "
    "AS delay, iata AS origin, NULL::DATE AS date FROM " A ") q ORDER BY id, origin LIMIT 12",
    /* Where a side may be reduced, and where it may not. */
    "SELECT f.id, a.city FROM " D " f JOIN " A " a ON f.origin = a.iata WHERE a.state = 'WA'",
    "SELECT f.id, o.city, d.city FROM " D " f JOIN " A " o ON f.origin = o.iata JOIN " A
    " d ON f.destination = d.iata WHERE o.state = 'WA'",
    "SELECT f.id, a.city FROM " D " f LEFT JOIN " AW " a ON f.origin = a.iata",
    "SELECT f.id, a.city FROM " AW " a LEFT JOIN " D " f ON f.origin = a.iata",
    "SELECT f.id, a.city FROM " D " f RIGHT JOIN " AW " a ON f.origin = a.iata",
    "SELECT f.id, a.city FROM " D " f FULL JOIN " AW " a ON f.origin = a.iata",
    "SELECT f.id FROM " D " f WHERE f.origin IN (SELECT iata FROM " AW ")",
    "SELECT f.id FROM " D " f WHERE f.origin NOT IN (SELECT iata FROM " AW ")",
    "SELECT f.id FROM " D " f WHERE f.note NOT IN (SELECT city FROM " A ")",
    "SELECT f.id, f.origin IN (SELECT iata FROM " AW ") AS x FROM " D " f",
    "SELECT f.id FROM " D " f WHERE EXISTS (SELECT 1 FROM " A " a WHERE a.iata = f.origin AND "
    "a.state = 'WA')",
    "SELECT f.id FROM " D " f WHERE NOT EXISTS (SELECT 1 FROM " A " a WHERE a.iata = f.origin)",
    "SELECT f.id FROM " D " f ANTI JOIN " AW " a ON f.origin = a.iata",
    "SELECT f.id FROM " D " f SEMI JOIN " AW " a ON f.origin = a.iata",
    "SELECT a.city, q.n FROM " AW " a JOIN (SELECT origin, count(*) AS n, sum(delay) FROM " D
    " GROUP BY origin) q ON q.origin = a.iata",
    "SELECT a.city, q.n FROM " AW " a JOIN (SELECT origin, count(*) AS n FROM " D
    " GROUP BY GROUPING SETS ((origin), ())) q ON q.origin = a.iata",
    "SELECT a.city, q.id FROM " AW " a JOIN (SELECT origin, id FROM " D " ORDER BY id LIMIT 3) q "
    "ON q.origin = a.iata",
    "SELECT a.city, q.r FROM " AW " a JOIN (SELECT origin, rank() OVER (ORDER BY id) AS r FROM " D
    ") q ON q.origin = a.iata",
    "SELECT a.city, q.origin FROM " AW " a JOIN (SELECT DISTINCT origin FROM " D ") q "
    "ON q.origin = a.iata",
    "SELECT a.city, q.id FROM " AW " a JOIN (SELECT DISTINCT ON (note) origin, id FROM " D
    " ORDER BY note, id) q ON q.origin = a.iata",
    "SELECT a.city, q.x FROM " AW " a JOIN (SELECT origin AS x FROM " D " UNION ALL SELECT "
    "destination FROM " D ") q ON q.x = a.iata",
    "SELECT f.id, a.city FROM " D " f JOIN " A " a ON f.origin = a.iata OR f.destination = a.iata",
    "SELECT f.id, a.city FROM " D " f JOIN " A " a ON f.origin = a.iata AND f.delay > a.latitude",
    "SELECT f.id, a.city FROM " D " f JOIN " A " a ON f.note IS NOT DISTINCT FROM a.city",
    "SELECT f.id, a.city FROM " D " f JOIN " A " a ON f.origin = upper(a.iata)",
    "SELECT f.id, g.id FROM " D " f JOIN " D " g ON f.delay = g.id JOIN " A " a ON a.iata = "
    "f.origin",
    "SELECT f.id, a.city FROM " D " f JOIN (SELECT * FROM " A " WHERE iata = 'none') a ON "
    "f.origin = a.iata",
    "SELECT f.id, a.city FROM " D " f LEFT JOIN (SELECT * FROM " A " WHERE iata = 'none') a ON "
    "f.origin = a.iata",
    "SELECT count(*), sum(f.id) FROM " D " f JOIN " A " a ON f.origin = a.iata WHERE a.iata IN "
    "('SEA', 'JFK', 'ATL', 'LGA', 'X1', 'X2')",
    "SELECT f.id, (SELECT a.city FROM " A " a WHERE a.iata = f.origin) AS c FROM " D " f",
    "SELECT f.id, (SELECT count(*) FROM " A " a WHERE a.iata = f.origin) AS c FROM " D " f",
    "WITH c AS MATERIALIZED (SELECT f.origin, f.id FROM " D " f JOIN " AW " a ON f.origin = "
    "a.iata) SELECT x.id, y.id FROM c x FULL JOIN c y ON x.id = y.id + 1",
    "SELECT a.iata, b.iata FROM " A " a JOIN " D " f ON a.iata = f.origin JOIN " A " b ON b.iata "
    "= f.destination LEFT JOIN " D " g ON g.origin = b.iata AND g.destination = a.iata",
    "SELECT n.node, count(*), sum(f.delay) FROM mesh.nodes n JOIN " D
    " f ON n.hub = f.origin GROUP "
    "BY n.node",
    "SELECT hub, max(ms) FROM mesh.nodes WHERE hub IN (SELECT iata FROM " A ") GROUP BY hub",
    "SELECT a.city, n.ms FROM " A " a LEFT JOIN mesh.nodes n ON n.hub = a.iata AND n.ms > 3",
    "SELECT node FROM mesh.nodes WHERE ms IS NULL UNION SELECT origin FROM " D,
    "SELECT flights.delays.id, q.m FROM flights.delays, (SELECT max(airports.airport.latitude) AS "
    "m FROM airports.airport) q WHERE flights.delays.delay < q.m",
    /* Grouped in each part of a union. */
    "SELECT origin, sum(delay), count(*), count(delay), min(id), max(delay), avg(delay) FROM "
    "(SELECT origin, delay, id FROM " D " UNION ALL SELECT origin, delay, id FROM " E
    ") q GROUP BY origin",
    "SELECT count(*), sum(delay), min(delay), avg(delay) FROM (SELECT delay FROM " D
    " UNION ALL SELECT delay FROM " E ")",
    "SELECT count(*), sum(delay) FROM (SELECT delay FROM " D " WHERE id > 100 UNION ALL SELECT "
    "delay FROM " E " WHERE id > 100) q",
    "SELECT o, sum(d), o || '!' FROM (SELECT * FROM " E " UNION ALL SELECT id, delay, origin, note "
    "FROM " D ") q(i, d, o) WHERE i > 1 AND d > 0 GROUP BY o HAVING count(*) > 1 ORDER BY 2 DESC",
    "SELECT DISTINCT origin FROM (SELECT origin FROM " D " UNION ALL SELECT iata FROM " A
    " UNION ALL SELECT hub FROM flights.carrier) q",
    "SELECT x, count(*) FROM (SELECT origin AS x, delay FROM " D " UNION ALL SELECT origin, delay "
    "FROM " E " UNION ALL SELECT destination, id FROM " D ") q GROUP BY ALL",
    "SELECT a.state, count(*), sum(q.delay), min(a.latitude) FROM (SELECT origin, delay FROM " D
    " UNION ALL SELECT origin, delay FROM " E ") q JOIN " A
    " a ON q.origin = a.iata GROUP BY a.state",
    "SELECT a.state, count(*), sum(q.delay) FROM (SELECT origin, delay FROM " D
    " WHERE note IS NOT NULL) q LEFT JOIN " A " a ON q.origin = a.iata GROUP BY a.state",
    "SELECT count(DISTINCT origin), sum(delay) FILTER (WHERE delay > 0) FROM (SELECT origin, delay "
    "FROM " D " UNION ALL SELECT gate, delay FROM " E ") q",
    "SELECT origin, sum(n) FROM (SELECT origin, count(*) AS n FROM " D
    " GROUP BY origin UNION ALL SELECT origin, count(*) FROM " E " GROUP BY origin) q GROUP BY 1",
    "SELECT origin, count(*) FROM ((SELECT origin FROM " D " ORDER BY id LIMIT 3) UNION ALL "
    "(SELECT origin FROM " E " ORDER BY id DESC LIMIT 2)) q GROUP BY origin",
    "SELECT n, count(*) FROM (SELECT id AS n FROM " D " UNION ALL SELECT latitude FROM " A
    ") q GROUP BY n",
    "SELECT k, count(*) FROM (SELECT origin AS k FROM " D " UNION SELECT origin FROM " E
    ") q GROUP BY k",
    "SELECT k, count(*) FROM (SELECT origin AS k FROM " D " UNION ALL SELECT origin FROM " E
    " ORDER BY k LIMIT 5) q GROUP BY k",
    "SELECT k, v FROM (SELECT origin AS k, count(*) AS v FROM (SELECT origin FROM " D
    " UNION ALL SELECT origin FROM " E ") GROUP BY origin) q JOIN " A " ON k = iata WHERE v > 1",
    "SELECT iata, (SELECT count(*) FROM (SELECT origin FROM " D " UNION ALL SELECT origin FROM " E
    ") q WHERE q.origin = iata) FROM " A,
    "SELECT k, count(*) FROM (SELECT origin AS k FROM " D " UNION ALL SELECT 'SEA') q GROUP BY k",
    "WITH w AS (SELECT 'SEA' AS h) SELECT k, count(*) FROM (SELECT origin AS k FROM " D
    ", w WHERE origin = h UNION ALL SELECT origin FROM " E ") q GROUP BY k",
    "SELECT origin, count(*) FROM (SELECT origin FROM " D " UNION ALL SELECT origin FROM " E
    ") q GROUP BY ROLLUP (origin)",
    "SELECT DISTINCT ON (origin) origin, delay FROM (SELECT origin, delay FROM " D
    " UNION ALL SELECT origin, delay FROM " E ") q ORDER BY origin, delay",
    "SELECT list(origin ORDER BY origin), bit_xor(id) FROM (SELECT origin, id FROM " D
    " UNION ALL SELECT origin, id FROM " E ") q",
    /* LIMIT below an outer join. */
    "SELECT d.id, a.city FROM " D " d LEFT JOIN " A " a ON d.origin = a.iata ORDER BY d.id LIMIT 3",
    "SELECT d.*, a.city FROM " D " d LEFT JOIN " A
    " a ON d.origin = a.iata AND a.state = 'WA' WHERE d.delay > 0 ORDER BY d.id DESC LIMIT 2 "
    "OFFSET "
    "2",
    "SELECT id AS n, city FROM " A " a RIGHT JOIN " D
    " d ON origin = iata WHERE note IS NOT NULL ORDER BY n LIMIT 3",
    "SELECT id, city FROM " D " LEFT JOIN " A
    " ON origin = iata WHERE city = 'Seattle' ORDER BY id DESC LIMIT 1",
    "SELECT id, city FROM " D " LEFT JOIN " A " ON origin = iata ORDER BY city, id LIMIT 2",
    "SELECT id, city FROM " D " LEFT JOIN " A " ON origin = iata ORDER BY id, city LIMIT 2",
    "SELECT count(*) FROM " D " LEFT JOIN " A " ON origin = iata LIMIT 2",
    "SELECT count(*) FROM (SELECT id, city FROM " D " LEFT JOIN " A " ON origin = iata LIMIT 4) q",
    "SELECT DISTINCT origin FROM " D " LEFT JOIN " A " ON origin = iata ORDER BY origin LIMIT 3",
    "SELECT id, sum(id) OVER (ORDER BY id DESC) FROM " D " LEFT JOIN " A
    " ON origin = iata ORDER BY id LIMIT 2",
    "SELECT unnest(range(id - 2)) AS u, id FROM " D " LEFT JOIN " A
    " ON origin = iata ORDER BY id, u LIMIT 2",
    "SELECT x.id, y.id, city FROM " D " x LEFT JOIN " E " y ON x.origin = y.origin LEFT JOIN " A
    " ON y.origin = iata ORDER BY x.origin NULLS FIRST, x.id, y.id LIMIT 5",
    "SELECT x.origin, x.id FROM " D " x LEFT JOIN " E
    " y ON x.origin = y.origin ORDER BY x.origin DESC, x.id LIMIT 5",
    "SELECT id, d.delay, e.delay FROM " D " d FULL JOIN " E " e USING (id) ORDER BY id LIMIT 3",
    "SELECT a.latitude AS id, d.id AS x FROM " D " d LEFT JOIN " A
    " a ON origin = iata ORDER BY id DESC, x LIMIT 2",
    "SELECT e.id, d.id AS x FROM " D " d LEFT JOIN " E " e ON d.id = e.id ORDER BY id LIMIT 2",
    "SELECT id, d.delay FROM " D " d LEFT JOIN " E " e USING (id) ORDER BY id LIMIT 3",
    "SELECT d.id FROM " D " d JOIN " A " ON origin = iata ORDER BY d.id DESC LIMIT 2",
    "SELECT d.id FROM " D " d ANTI JOIN " A " ON origin = iata ORDER BY d.id LIMIT 1",
    "SELECT a.iata, q.id FROM " A " a, LATERAL (SELECT d.id FROM " D " d LEFT JOIN " E
    " e ON e.id = d.id WHERE d.origin = a.iata ORDER BY d.id LIMIT 1) q",
    /* Groups of several kinds, and the first of each. */
    "SELECT a.state, d.origin, count(*), sum(d.delay) FROM " D " d JOIN " A
    " a ON d.origin = a.iata GROUP BY ROLLUP (a.state, d.origin)",
    "SELECT a.state, d.origin, count(*), grouping(a.state) FROM " D " d JOIN " A
    " a ON d.origin = a.iata GROUP BY CUBE (a.state, d.origin)",
    "SELECT a.state, d.origin, min(d.delay) FROM " D " d JOIN " A
    " a ON d.origin = a.iata GROUP BY GROUPING SETS ((a.state), (d.origin), ())",
    "SELECT a.city, q.origin, q.n FROM (SELECT iata, city FROM " A
    " WHERE state = 'WA') a RIGHT JOIN (SELECT origin, count(*) AS n FROM " D
    " GROUP BY CUBE (origin)) q ON q.origin = a.iata",
    "SELECT a.iata, q.n FROM " AW " a JOIN (SELECT origin, note, count(*) AS n FROM " D
    " GROUP BY GROUPING SETS ((origin), (note))) q ON coalesce(q.origin, 'SEA') = a.iata",
    "SELECT a.iata, q.note, q.n FROM " AW " a JOIN (SELECT origin, note, count(*) AS n FROM " D
    " GROUP BY ROLLUP (note, origin)) q ON q.origin = a.iata",
    "SELECT DISTINCT ON (a.state) a.state, d.id FROM " D " d JOIN " A
    " a ON d.origin = a.iata ORDER BY a.state, d.id DESC",
    "SELECT a.iata, q.id FROM " AW " a JOIN (SELECT DISTINCT ON (destination) destination, origin, "
    "id FROM " D " ORDER BY destination, id DESC) q ON q.origin = a.iata",
    "SELECT a.iata, q.id FROM " AW " a JOIN (SELECT DISTINCT ON (delay > 5) origin, id FROM " D
    " ORDER BY delay > 5, id) q ON q.origin = a.iata",
    /* Tables of two domains that are called the same. */
    "SELECT id FROM " D " ANTI JOIN " E " USING (id)",
    "SELECT id, gate FROM " D " JOIN " E " USING (id)",
    "SELECT flights.delays.id FROM " D " SEMI JOIN " E " ON flights.delays.id = airports.delays.id",
    "SELECT flights.delays.id, airports.delays.delay, gate FROM " D " LEFT JOIN " E
    " ON flights.delays.id = airports.delays.id WHERE flights.delays.delay > 0",
    "SELECT flights.delays.id FROM " D " WHERE EXISTS (SELECT 1 FROM " E
    " WHERE airports.delays.id = flights.delays.id)",
    "SELECT id FROM " D " WHERE delay > (SELECT min(delays.delay) FROM " E
    " WHERE delays.origin = flights.delays.origin)",
    "SELECT flights.delays.origin, count(*), sum(airports.delays.delay) FROM " D " JOIN " E
    " ON flights.delays.origin = airports.delays.origin GROUP BY flights.delays.origin",
    "SELECT id FROM " D " WHERE EXISTS (SELECT 1 FROM " A
    " AS delays WHERE delays.iata = flights.delays.origin AND delays.state = 'WA')",
    "SELECT delays.* EXCLUDE (delays.note) FROM " D " WHERE EXISTS (SELECT gate FROM " E
    " WHERE airports.delays.id = flights.delays.id)",
    "SELECT id, delays.gate FROM " E " WHERE delays.id IN (SELECT delays.id FROM " D
    " WHERE Flights.DELAYS.origin = delays.origin)",
    "SELECT id, delays.origin FROM " D " UNION ALL SELECT id, delays.gate FROM " E
    " WHERE delays.delay > 3",
    "SELECT \"a b\".* FROM " D " \"a b\", " A " WHERE origin = iata",
    "SELECT flights.delays.id + 1, min(flights.delays.id) FROM " D " JOIN " A
    " ON flights.delays.origin = iata GROUP BY 1",
    "SELECT delays.id + 1, flights.delays.note FROM " D " WHERE EXISTS (SELECT 1 FROM " E
    " WHERE airports.delays.id = flights.delays.id)",
    "SELECT count(delays) FROM " E " WHERE id IN (SELECT id FROM " D ")",
    "SELECT delays.id, x.id FROM (SELECT airports.delays.id FROM " E ") x JOIN " D
    " ON x.id = flights.delays.id",
    "WITH delays AS (SELECT 'SEA' AS iata) SELECT flights.delays.id FROM " D
    " WHERE flights.delays.origin IN (SELECT iata FROM delays WHERE delays.iata <> "
    "flights.delays.destination)",
};

const size_t plan_statement_count = sizeof plan_statements / sizeof plan_statements[0];
