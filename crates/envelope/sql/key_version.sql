-- The key version of an envelope's first wrap; NULL when these bytes are no record envelope of format 1 whose first
-- wrap is Claviger's. The offsets are promised in FORMAT.md. PostgreSQL 12 or newer. It reads its argument and nothing
-- else, so a generated column and an index may use it.
CREATE OR REPLACE FUNCTION claviger_key_version(envelope bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN octet_length(envelope) < 48 THEN NULL
        WHEN substr(envelope, 1, 6) = '\x434c56450101'::bytea
            AND substr(envelope, 24, 1) = '\x01'::bytea
            AND substr(envelope, 27, 1) = '\x01'::bytea
            AND get_byte(envelope, 27) IN (1, 2)
        THEN NULLIF(
            (get_byte(envelope, 44)::bigint << 24) | (get_byte(envelope, 45)::bigint << 16)
                | (get_byte(envelope, 46)::bigint << 8) | get_byte(envelope, 47)::bigint,
            0)
    END
$$;
