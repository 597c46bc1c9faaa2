/* Of catalog.c: the columns of each table, "name:kind" or "name:kind=value where nothing is put":
 * i integer, t text, b boolean, d double. Without a value: NULL. */
#ifndef FM_NODE_PG_CATALOG_TABLES_H
#define FM_NODE_PG_CATALOG_TABLES_H

/* X(domain, table, function that puts its rows, columns); those of put_nothing have none. */
#define PG_CATALOG_MAP(X)                                                                          \
    X("pg_catalog", "fm_text", put_texts, "fm_kind:t fm_oid:i fm_sub:i fm_text:t")                 \
    X("pg_catalog", "pg_namespace", put_namespaces, "oid:i nspname:t nspowner:i=10 nspacl:t")      \
    X("pg_catalog", "pg_class", put_classes,                                                       \
      "oid:i relname:t relnamespace:i reltype:i=0 reloftype:i=0 relowner:i=10 relam:i=2 "          \
      "relfilenode:i=0 reltablespace:i=0 relpages:i=0 reltuples:d=-1 relallvisible:i=0 "           \
      "reltoastrelid:i=0 relhasindex:b=f relisshared:b=f relpersistence:t=p relkind:t=r "          \
      "relnatts:i relchecks:i=0 relhasrules:b=f relhastriggers:b=f relhassubclass:b=f "            \
      "relrowsecurity:b=f relforcerowsecurity:b=f relispopulated:b=t relreplident:t=d "            \
      "relispartition:b=f relrewrite:i=0 relfrozenxid:i=0 relminmxid:i=0 relacl:t reloptions:t "   \
      "relpartbound:t")                                                                            \
    X("pg_catalog", "pg_attribute", put_attributes,                                                \
      "attrelid:i attname:t atttypid:i attstattarget:i=-1 attlen:i attnum:i attndims:i=0 "         \
      "attcacheoff:i=-1 atttypmod:i=-1 attbyval:b=f attalign:t=i attstorage:t=p "                  \
      "attcompression:t= attnotnull:b=f atthasdef:b=f atthasmissing:b=f attidentity:t= "           \
      "attgenerated:t= attisdropped:b=f attislocal:b=t attinhcount:i=0 attcollation:i=0 "          \
      "attacl:t attoptions:t attfdwoptions:t attmissingval:t")                                     \
    X("pg_catalog", "pg_type", put_types,                                                          \
      "oid:i typname:t typnamespace:i=11 typowner:i=10 typlen:i typbyval:b=f typtype:t=b "         \
      "typcategory:t=U typispreferred:b=f typisdefined:b=t typdelim:t=, typrelid:i=0 "             \
      "typsubscript:i=0 typelem:i=0 typarray:i=0 typinput:i=0 typoutput:i=0 typreceive:i=0 "       \
      "typsend:i=0 typmodin:i=0 typmodout:i=0 typanalyze:i=0 typalign:t=i typstorage:t=p "         \
      "typnotnull:b=f typbasetype:i=0 typtypmod:i=-1 typndims:i=0 typcollation:i=0 "               \
      "typdefaultbin:t typdefault:t typacl:t")                                                     \
    X("pg_catalog", "pg_index", put_indexes,                                                       \
      "indexrelid:i indrelid:i indnatts:i indnkeyatts:i indisunique:b=t indnullsnotdistinct:b=f "  \
      "indisprimary:b=t indisexclusion:b=f indimmediate:b=t indisclustered:b=f indisvalid:b=t "    \
      "indcheckxmin:b=f indisready:b=t indislive:b=t indisreplident:b=f indkey:t indcollation:t "  \
      "indclass:t indoption:t indexprs:t indpred:t")                                               \
    X("pg_catalog", "pg_constraint", put_constraints,                                              \
      "oid:i conname:t connamespace:i contype:t=p condeferrable:b=f condeferred:b=f "              \
      "convalidated:b=t conrelid:i contypid:i=0 conindid:i conparentid:i=0 confrelid:i=0 "         \
      "confupdtype:t= confdeltype:t= confmatchtype:t= conislocal:b=t coninhcount:i=0 "             \
      "connoinherit:b=t conkey:t confkey:t conbin:t")                                              \
    X("pg_catalog", "pg_description", put_descriptions,                                            \
      "objoid:i classoid:i objsubid:i description:t")                                              \
    X("pg_catalog", "pg_database", put_database,                                                   \
      "oid:i=16383 datname:t=mesh datdba:i=10 encoding:i=6 datlocprovider:t=c "                    \
      "datistemplate:b=f datallowconn:b=t datconnlimit:i=-1 datfrozenxid:i=0 datminmxid:i=0 "      \
      "dattablespace:i=1663 datcollate:t=C.UTF-8 datctype:t=C.UTF-8 daticulocale:t "               \
      "datcollversion:t datacl:t")                                                                 \
    X("pg_catalog", "pg_roles", put_roles,                                                         \
      "oid:i rolname:t rolsuper:b=f rolinherit:b=t rolcreaterole:b=f rolcreatedb:b=f "             \
      "rolcanlogin:b=f rolreplication:b=f rolconnlimit:i=-1 rolpassword:t=******** "               \
      "rolvaliduntil:t rolbypassrls:b=f rolconfig:t")                                              \
    X("pg_catalog", "pg_am", put_methods, "oid:i amname:t amhandler:i=0 amtype:t=t")               \
    X("pg_catalog", "pg_tablespace", put_tablespace,                                               \
      "oid:i=1663 spcname:t=pg_default spcowner:i=10 spcacl:t spcoptions:t")                       \
    X("pg_catalog", "pg_attrdef", put_nothing, "oid:i adrelid:i adnum:i adbin:t")                  \
    X("pg_catalog", "pg_auth_members", put_nothing, "roleid:i member:i grantor:i admin_option:b")  \
    X("pg_catalog", "pg_collation", put_nothing,                                                   \
      "oid:i collname:t collnamespace:i collowner:i collprovider:t collisdeterministic:b "         \
      "collencoding:i collcollate:t collctype:t colliculocale:t collversion:t")                    \
    X("pg_catalog", "pg_depend", put_nothing,                                                      \
      "classid:i objid:i objsubid:i refclassid:i refobjid:i refobjsubid:i deptype:t")              \
    X("pg_catalog", "pg_enum", put_nothing, "oid:i enumtypid:i enumsortorder:d enumlabel:t")       \
    X("pg_catalog", "pg_extension", put_nothing,                                                   \
      "oid:i extname:t extowner:i extnamespace:i extrelocatable:b extversion:t extconfig:t "       \
      "extcondition:t")                                                                            \
    X("pg_catalog", "pg_foreign_server", put_nothing, "oid:i srvname:t srvowner:i srvoptions:t")   \
    X("pg_catalog", "pg_foreign_table", put_nothing, "ftrelid:i ftserver:i ftoptions:t")           \
    X("pg_catalog", "pg_inherits", put_nothing,                                                    \
      "inhrelid:i inhparent:i inhseqno:i inhdetachpending:b")                                      \
    X("pg_catalog", "pg_language", put_nothing, "oid:i lanname:t lanowner:i lanpltrusted:b")       \
    X("pg_catalog", "pg_policy", put_nothing,                                                      \
      "oid:i polname:t polrelid:i polcmd:t polpermissive:b polqual:t polwithcheck:t")              \
    X("pg_catalog", "pg_proc", put_nothing,                                                        \
      "oid:i proname:t pronamespace:i proowner:i prolang:i procost:d prorows:d provariadic:i "     \
      "prokind:t prosecdef:b proleakproof:b proisstrict:b proretset:b provolatile:t "              \
      "proparallel:t pronargs:i pronargdefaults:i prorettype:i proargtypes:t proallargtypes:t "    \
      "proargmodes:t proargnames:t prosrc:t proacl:t")                                             \
    X("pg_catalog", "pg_range", put_nothing, "rngtypid:i rngsubtype:i rngmultitypid:i")            \
    X("pg_catalog", "pg_rewrite", put_nothing,                                                     \
      "oid:i rulename:t ev_class:i ev_type:t ev_enabled:t is_instead:b")                           \
    X("pg_catalog", "pg_sequence", put_nothing,                                                    \
      "seqrelid:i seqtypid:i seqstart:i seqincrement:i seqmax:i seqmin:i seqcache:i seqcycle:b")   \
    X("pg_catalog", "pg_shdescription", put_nothing, "objoid:i classoid:i description:t")          \
    X("pg_catalog", "pg_trigger", put_nothing,                                                     \
      "oid:i tgrelid:i tgparentid:i tgname:t tgfoid:i tgtype:i tgenabled:t tgisinternal:b "        \
      "tgconstraint:i")                                                                            \
    X("pg_catalog", "pg_tables", put_tables,                                                       \
      "schemaname:t tablename:t tableowner:t tablespace:t hasindexes:b=f hasrules:b=f "            \
      "hastriggers:b=f rowsecurity:b=f")                                                           \
    X("pg_catalog", "pg_views", put_nothing, "schemaname:t viewname:t viewowner:t definition:t")   \
    X("information_schema", "schemata", put_schemata,                                              \
      "catalog_name:t=mesh schema_name:t schema_owner:t")                                          \
    X("information_schema", "tables", put_information_tables,                                      \
      "table_catalog:t=mesh table_schema:t table_name:t table_type:t "                             \
      "is_insertable_into:t=NO is_typed:t=NO")                                                     \
    X("information_schema", "columns", put_information_columns,                                    \
      "table_catalog:t=mesh table_schema:t table_name:t column_name:t ordinal_position:i "         \
      "column_default:t is_nullable:t data_type:t character_maximum_length:i "                     \
      "numeric_precision:i numeric_scale:i udt_catalog:t=mesh udt_schema:t=pg_catalog udt_name:t " \
      "is_identity:t=NO is_generated:t=NEVER is_updatable:t=NO")

#endif
