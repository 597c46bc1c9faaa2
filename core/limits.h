/* Every bound of the program, with its reason, in one place; relations between them are checked
 * below. A module's tests may build with smaller ones by defining the name beforehand. */
#ifndef FM_CORE_LIMITS_H
#define FM_CORE_LIMITS_H

/* Memory */
#define FM_BUF_BYTES_MAX (1u << 30) /* Any growing buffer without a bound of its own. */

/* msgpack documents (core/codec.h); trust.md 1.2 item 5 measured what happens without. */
#define FM_DOC_BYTES_MAX (4u << 20)
#define FM_DOC_OBJECTS_MAX 100000u
#define FM_DOC_DEPTH_MAX 16u

/* Names and schemas */
#define FM_NAME_MAX 63u      /* Domains, tables, columns: PostgreSQL's identifier length. */
#define FM_COLUMNS_MAX 1600u /* PostgreSQL's limit for a table. */
#define FM_KEY_FIELDS_MAX 16u
#define FM_TYPE_DEPTH_MAX 8u    /* Nesting of list, struct, map. */
#define FM_TYPE_NODES_MAX 4096u /* All types of one schema, children counted. */
#define FM_ENUM_VALUES_MAX 65536u
#define FM_VALUE_BYTES_MAX (16u << 20)     /* One varchar, blob or nested value. */
#define FM_SUBJECT_BYTES_MAX 4096u         /* What names a data subject: fits one message. */
#define FM_CONTRACT_BYTES_MAX (128u << 10) /* With its schemas it must fit one message. */
#define FM_RETENTION_DAYS_MAX 36600u       /* 100 years of 366 days. */
#define FM_DESCRIPTION_MAX 4096u
#define FM_TABLES_PER_PRODUCT_MAX 64u

/* Segments and batches */
#define FM_BLOCK_ROWS 2048u
#define FM_SEGMENT_ROWS 122880u /* 60 blocks; DuckDB's row group. */
#define FM_BATCH_ROWS_MAX FM_SEGMENT_ROWS
#define FM_BATCH_BYTES_MAX (64u << 20) /* A batch in memory, holding one huge value at worst. */
#define FM_DICTIONARY_VALUES_MAX 65535u
#define FM_APPEND_TABLES_MAX 16u   /* Of one domain, appended together; small ones in one batch. */
#define FM_SMALL_APPEND_ROWS 2048u /* Up to here an append is one write batch of hot rows. */

/* Sessions and messages; trust.md 3.6: larger messages gain nothing and pin memory. */
#define FM_MESSAGE_BYTES_MAX (320u << 10) /* nng's receive limit, from the first byte. */
#define FM_PAYLOAD_BYTES_MAX (256u << 10) /* Plain text of one sealed message. */
#define FM_BATCH_WIRE_BYTES (240u << 10)  /* Aim for one batch on the wire. */
#define FM_PIPES_PER_ADDRESS_MAX 32u
#define FM_PIPES_MAX 512u
#define FM_SESSIONS_MAX 512u
#define FM_HANDSHAKE_MS_MAX 5000
#define FM_SESSION_REKEY_MS 120000  /* A new session replaces one older than this. */
#define FM_SESSION_REJECT_MS 180000 /* Calls are begun in it up to this age, */
#define FM_SESSION_ANSWER_MS (FM_SESSION_REJECT_MS + FM_QUERY_MS_MAX) /* and answered up to this. */
#define FM_SESSION_MESSAGES_MAX (UINT64_C(1) << 32)
#define FM_REPLAY_WINDOW 1024u

/* Trust */
#define FM_AUTHORITY_KEYS_MAX 16u
#define FM_DOMAINS_PER_NODE_MAX 64u
#define FM_ROLES_MAX 64u
#define FM_ATTRIBUTES_MAX 64u
#define FM_ENVELOPE_BYTES_MAX (2u << 20) /* Contracts with their YAML are the largest. */
#define FM_CERTS_KEPT_MAX 128u           /* Verified ones, so as not to do it again: some 2 MiB. */
#define FM_SMALL_SCAN_ROWS 1024u /* Of a batch behind which the end is looked for at once. */
#define FM_HEADS_KEPT_MAX 256u   /* Beside them, by their hashes. */
#define FM_CLOCK_SKEW_US (120 * INT64_C(1000000))
#define FM_NODE_CERT_DAYS_MAX 30u
#define FM_TOKEN_BYTES_MAX 8192u /* As text: common limits of an HTTP header field. */
#define FM_TOKEN_NODES_MAX 16u
#define FM_TOKEN_LIFE_DEFAULT (15 * 60)  /* Seconds. */
#define FM_TOKEN_LIFE_MAX (12 * 60 * 60) /* A working day; services: the charter. */

/* Gossip */
#define FM_MEMBERS_MAX 65536u
#define FM_FANOUT_MAX 8u
#define FM_PACKET_BYTES_MAX 1100u /* With sealing and headers, below IPv6's minimum MTU of 1280. */
#define FM_DATAGRAM_BYTES_MAX 1232u
#define FM_RECORDS_MAX 1000000u
#define FM_RECORD_BYTES_MAX FM_ENVELOPE_BYTES_MAX
#define FM_SEEDS_MAX 64u
#define FM_STATISTICS_COLUMNS_MAX 256u    /* Of one table; those behind have no figures. */
#define FM_STATISTICS_BOUND_BYTES_MAX 32u /* A longer least or greatest value is left out. */
#define FM_STATISTICS_ROWS_READ_MAX 8192u /* Tables up to here are read for exact figures. */
#define FM_STATISTICS_MS_MIN 5000         /* Between two statements about one table. */

/* Queries */
#define FM_SQL_BYTES_MAX (96u << 10) /* A ticket carries it twice, in one message. */
#define FM_ENGINE_SQL_BYTES_MAX (4 * FM_SQL_BYTES_MAX) /* After the planner's rewriting. */
#define FM_QUERY_TABLES_MAX 64u
#define FM_REASON_BYTES_MAX 255u /* Why a fragment is missing, in an answer. */
/* Places: queries at once (node/admission.h); node.yaml may have fewer. */
#define FM_PLANS_MAX 8u            /* Being planned, by a worker each. */
#define FM_QUERIES_MAX 8u          /* Merged here, by a worker each. */
#define FM_PASSES_MAX 16u          /* Passed on from the one owner of their rows. */
#define FM_FRAGMENTS_MAX 16u       /* Whose fragments run here, by workers. */
#define FM_SCANS_MAX 64u           /* Whose fragments only read here. */
#define FM_QUERIES_WAITING_MAX 80u /* For a place; each holds a thread. */
#define FM_FRAGMENTS_WAITING_MAX 32u
#define FM_WAIT_MS_MAX 30000          /* For one place. */
#define FM_OPEN_ROUNDS_MAX 16u        /* Until all owners of a query have room at once. */
#define FM_PREDICATES_MAX 64u         /* Terms handed to one scan. */
#define FM_PREDICATE_VALUES_MAX 4096u /* Literals of one IN list. */
#define FM_PLAN_JOINS_MAX 128u
#define FM_REDUCTIONS_MAX 16u
#define FM_REDUCE_KEY_BYTES_MAX (64u << 10) /* Of the keys that reduce a slot, in a message. */
#define FM_REDUCE_KEEP_BYTES_MAX (2u << 20) /* Of a side that is read before the merge. */
#define FM_GIVEN_TABLES_MAX 16u             /* Whose rows go along with a statement; */
#define FM_GIVEN_BYTES_MAX (128u << 10)     /* with it and the request they must fit a message. */
#define FM_PLAN_RTT_US 1000u                /* Between nodes, where nobody measured it. */
#define FM_WORKERS_WARM_MAX 8u              /* Idle ones, kept for whom they served, */
#define FM_WORKERS_WARM_KEY_MAX 2u          /* and of one principal. */
#define FM_WORKERS_WARM_MS 10000
#define FM_WORKER_WARM_BYTES_MAX (32u << 20) /* What one may have grown by. */
#define FM_QUERY_MS_DEFAULT 60000
#define FM_QUERY_MS_MAX 3600000
#define FM_CURSOR_LEASE_MS 30000            /* A cursor nobody fetches from is dropped. */
#define FM_PLANS_KEPT_MAX 256u              /* Plans of a node, for statements that come again; */
#define FM_PLANS_KEPT_BYTES_MAX (16u << 20) /* their memory in all. */
#define FM_RECEIPTS_MAX 1024u               /* Queries of all principals in mesh.receipts, */
#define FM_RECEIPTS_OF_ONE_MAX 64u          /* and of one; */
#define FM_RECEIPTS_BYTES_MAX (16u << 20)   /* their memory in all, */
#define FM_RECEIPTS_OF_ONE_BYTES_MAX (1u << 20) /* and of one's. */
#define FM_VIEW_BATCH_ROWS 1024u                /* Of a table of FM_VIEWS_DOMAIN; */
#define FM_VIEW_BYTES_MAX (32u << 20)           /* its rows for one query, in memory. */
#define FM_ORPHAN_MS 500                 /* As one whose asker's link went and did not come back. */
#define FM_OPENED_BYTES_MAX (128u << 10) /* First batch and end that come with an opening. */
#define FM_FETCH_WINDOW 8u               /* Batches kept for a repeated fetch. */
#define FM_SPOOL_BYTES_MAX (256u << 20)  /* What one query's fragments brought, kept on disk; */
#define FM_SPOOLS_BYTES_MAX (1024u << 20) /* of all queries of a node at once. */
#define FM_COMPARE_BYTES_MAX (256u << 20) /* Rows that verify --replay keeps to compare as a set. */
#define FM_CONNECT_MS_MAX 3000 /* Reaching an owner, before its fragment's own deadline. */
#define FM_QUERY_FETCHERS 2u   /* Calls at once for one query's rows; each may wait long. */
#define FM_RPC_THREADS 192u    /* So many that fragments always find one. */

/* PostgreSQL clients */
#define FM_PG_CONNECTIONS_MAX 2048u
#define FM_PG_THREADS 48u              /* Each runs one statement. */
#define FM_PG_LOGIN_MS 15000           /* From the connection on. */
#define FM_PG_MESSAGE_MS 60000         /* For a message that has begun. */
#define FM_PG_STALL_MS 60000           /* A client that takes nothing is dropped. */
#define FM_PG_STARTUP_BYTES_MAX 10000u /* As PostgreSQL itself. */
#define FM_PG_SHORT_BYTES_MAX 4096u    /* Messages that hold but a name. */
#define FM_PG_SQL_BYTES_MAX (FM_SQL_BYTES_MAX + 4096u)
#define FM_PG_BIND_BYTES_MAX (4u << 20)
#define FM_PG_COPY_BYTES_MAX (4u << 20) /* One CopyData; clients send 8 to 64 KiB. */
#define FM_PG_PARAMETERS_MAX 4096u      /* Of a statement. */
#define FM_PG_STATEMENTS_MAX 256u       /* Prepared ones of a session; */
#define FM_PG_PORTALS_MAX 32u           /* and portals and cursors that are open. */
#define FM_PG_SAVEPOINTS_MAX 64u
#define FM_PG_SETTINGS_MAX 64u /* With a point in their names. */

/* HTTP clients */
#define FM_HTTP_CONNECTIONS_MAX 256u            /* A thread each. */
#define FM_HTTP_CONNECTIONS_PER_ADDRESS_MAX 64u /* Behind one address may stand a proxy. */
#define FM_HTTP_HEADER_BYTES_MAX (32u << 10)    /* Request line and headers, with what is sent. */
#define FM_HTTP_BODY_BYTES_MAX (256u << 10)     /* FM_SQL_BYTES_MAX with its escapes in JSON. */
#define FM_HTTP_REQUEST_MS 15000                /* For a request that has begun. */
#define FM_HTTP_IDLE_S 60                       /* That nothing moves. */
#define FM_HTTP_PEM_BYTES_MAX (256u << 10)      /* A certificate with its chain, or a key. */

/* What may wait for other nodes, or for a place. */
#define FM_RPC_THREADS_WAITING                                                                     \
    ((FM_QUERIES_MAX + FM_PASSES_MAX) * FM_QUERY_FETCHERS + FM_PLANS_MAX +                         \
     FM_QUERIES_WAITING_MAX + FM_FRAGMENTS_WAITING_MAX)
_Static_assert(FM_RPC_THREADS_WAITING + 16u <= FM_RPC_THREADS, "queries could starve fragments");
_Static_assert(FM_BATCH_WIRE_BYTES < FM_PAYLOAD_BYTES_MAX, "a batch must fit a message");
_Static_assert(FM_PAYLOAD_BYTES_MAX < FM_MESSAGE_BYTES_MAX, "sealing and headers need room");
_Static_assert(FM_SEGMENT_ROWS % FM_BLOCK_ROWS == 0, "a segment is whole blocks");
_Static_assert(FM_PACKET_BYTES_MAX + 64 <= FM_DATAGRAM_BYTES_MAX, "sealing and headers need room");
_Static_assert(FM_HTTP_HEADER_BYTES_MAX >= 2 * FM_TOKEN_BYTES_MAX, "a token must fit a header");
_Static_assert(FM_HTTP_BODY_BYTES_MAX >= 2 * FM_SQL_BYTES_MAX, "a statement must fit a body");
_Static_assert(FM_DOC_BYTES_MAX >= FM_ENVELOPE_BYTES_MAX, "an envelope is one document");

#endif
