//! A gate in PostgreSQL: a trigger and its function.
//!
//! Closing it takes a lock that waits for every transaction that has written to the table; when it has it, its
//! transaction's number and the time are kept in the trigger's comment. Known limits: a table that is partitioned
//! or inherited from has no gate; who owns the table can remove or disable it, which its state shows.

use claviger_kms::Timestamp;
use serde::Deserialize;

use super::{Connections, of_database};
use crate::{
    SourceError,
    campaign_file::{Connection, PostgresTls, Table},
    gate::{Closes, GateState, sha256},
    sources::quoted,
};

/// The gate of one table.
#[derive(Debug)]
pub(crate) struct PostgresGate {
    connections: Connections,
    target: String,
    schema: String,
    name: String,
    body: String,
}

/// The trigger's comment.
#[derive(Deserialize)]
struct Comment {
    closed_at: Timestamp,
    transaction: String,
}

impl PostgresGate {
    pub(crate) fn of(
        connection: &Connection,
        tls: &PostgresTls,
        table: &Table,
        closes: Closes,
    ) -> Result<Self, SourceError> {
        let connection = connection.read().map_err(SourceError::unusable)?;
        let named: Vec<String> = table.name.splitn(2, '.').map(quoted).collect();
        let (target, name) = (named.join("."), closes.name(table));
        let schema =
            if let [schema, _] = named.as_slice() { format!("{schema}.") } else { String::new() };
        let body = body(table, closes);
        if body.contains(TAG) || target.contains(TAG) {
            return Err(SourceError::unusable(format!("a name of the table holds {TAG}")));
        }
        Ok(Self { connections: Connections::new(&connection, tls, 1)?, target, schema, name, body })
    }

    /// The statements that close it, in one transaction.
    pub(crate) fn install(&self) -> String {
        let Self { target, schema, name, body, .. } = self;
        let literal = |text: &str| text.replace('%', "%%").replace('\'', "''");
        format!(
            "BEGIN;\n\
             CREATE FUNCTION {schema}{name}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS {TAG}{body}{TAG};\n\
             CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {target} FOR EACH ROW EXECUTE FUNCTION {schema}{name}();\n\
             ALTER TABLE {target} ENABLE ALWAYS TRIGGER {name};\n\
             DO {TAG} BEGIN EXECUTE format('COMMENT ON TRIGGER {name} ON {} IS %L', json_build_object(\n    \
                 'closed_at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),\n    \
                 'transaction', pg_current_xact_id()::text)::text); END {TAG};\n\
             COMMIT;\n",
            literal(target)
        )
    }

    pub(crate) async fn close(&self) -> Result<(), SourceError> {
        self.run(&self.install()).await
    }

    pub(crate) async fn open(&self) -> Result<(), SourceError> {
        let Self { target, schema, name, .. } = self;
        self.run(&format!(
            "BEGIN; DROP TRIGGER IF EXISTS {name} ON {target}; DROP FUNCTION IF EXISTS {schema}{name}(); COMMIT;"
        ))
        .await
    }

    /// On a connection of its own, which ends with it: a failure leaves no transaction open.
    async fn run(&self, statements: &str) -> Result<(), SourceError> {
        let client = self.connections.take().await?;
        client.batch_execute(statements).await.map_err(of_database)
    }

    pub(crate) async fn state(&self) -> Result<GateState, SourceError> {
        Ok(match self.read().await? {
            Ok(Some(comment)) => GateState::Closed {
                closed_at: comment.closed_at,
                definition: sha256(&format!("{}\0{}\0{}", self.target, self.name, self.body)),
            },
            Ok(None) => GateState::Open,
            Err(reason) => GateState::Altered { reason },
        })
    }

    /// Whether every transaction that was numbered before the gate's own has ended. Those that got a number later
    /// meet the trigger.
    pub(crate) async fn is_settled(&self) -> Result<bool, SourceError> {
        let Ok(Some(comment)) = self.read().await? else { return Ok(false) };
        let client = self.connections.take().await?;
        let row = client.query_one(SETTLED, &[&comment.transaction]).await.map_err(of_database)?;
        let settled = row.try_get(0).map_err(of_database)?;
        self.connections.give_back(client);
        Ok(settled)
    }

    /// The comment of a gate that is as it was made; none if there is no gate; else what is wrong with it.
    async fn read(&self) -> Result<Result<Option<Comment>, String>, SourceError> {
        let client = self.connections.take().await?;
        let found =
            client.query_one(FIND, &[&self.target, &self.name]).await.map_err(of_database)?;
        let kind: Option<String> = found.try_get("kind").map_err(of_database)?;
        let plain = kind.as_deref() == Some("r")
            && !found.try_get::<_, bool>("has_children").map_err(of_database)?;
        if !plain {
            return Err(SourceError::unusable(format!(
                "{} is no plain table without partitions and heirs, and has no gate: declare max-hold-seconds",
                self.target
            )));
        }
        let row =
            client.query_opt(TRIGGER, &[&self.target, &self.name]).await.map_err(of_database)?;
        self.connections.give_back(client);
        let Some(row) = row else { return Ok(Ok(None)) };
        let text = |column| row.try_get::<_, Option<String>>(column).map_err(of_database);
        let truth = |column| row.try_get::<_, bool>(column).map_err(of_database);
        let wrong = if text("enabled")?.as_deref() != Some("A") {
            Some("the gate is disabled, or not in force for every session")
        } else if !truth("shape")? || text("language")?.as_deref() != Some("plpgsql") {
            Some("the gate's trigger is not the one Claviger made")
        } else if text("source")?.as_deref() != Some(self.body.as_str()) || !truth("settings")? {
            Some("the gate's function was altered")
        } else if truth("overruled")? {
            Some("another trigger acts after the gate, and could change the row once more")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Ok(Err(wrong.to_owned()));
        }
        let comment = text("comment")?.and_then(|text| serde_json::from_str(&text).ok());
        Ok(comment
            .map(Some)
            .ok_or_else(|| "the gate's comment, which says when it was closed, was altered".into()))
    }
}

/// The function's body.
fn body(table: &Table, closes: Closes) -> String {
    let envelope = quoted(&table.envelope_column);
    let same: Vec<String> = std::iter::once(&table.envelope_column)
        .chain(&table.key_columns)
        .map(|column| quoted(column))
        .map(|column| format!("NEW.{column} IS NOT DISTINCT FROM OLD.{column}"))
        .collect();
    let names = closes.patterns().map(|pattern| {
        format!("position(decode('{pattern}', 'hex') IN substring(NEW.{envelope} FROM 1 FOR {HEADER})) > 0")
    });
    format!(
        "\nBEGIN\n    IF TG_OP = 'UPDATE' THEN\n        IF {} THEN\n            RETURN NEW;\n        END IF;\n    END IF;\n    \
         IF {} THEN\n        RAISE EXCEPTION '{}' USING ERRCODE = 'check_violation';\n    END IF;\n    RETURN NEW;\nEND\n",
        same.join(" AND "),
        names.join("\n        OR "),
        closes.refusal()
    )
}

/// Most bytes of a header: nothing after them is a wrap.
const HEADER: usize = claviger_envelope::Header::MAX_LENGTH;
const TAG: &str = "$claviger$";

const FIND: &str = "
    SELECT (SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)) AS kind,
           EXISTS (SELECT FROM pg_inherits WHERE inhparent = to_regclass($1) OR inhrelid = to_regclass($1))
               AS has_children,
           $2::text IS NULL";

/// Before, for each row, insert and update: 2 + 1 + 4 + 16.
const TRIGGER: &str = r#"
    SELECT t.tgenabled::text AS enabled,
           t.tgtype = 23 AND t.tgqual IS NULL AND t.tgnargs = 0 AND cardinality(t.tgattr::int2[]) = 0
               AND p.pronargs = 0 AS shape,
           l.lanname::text AS language, p.prosrc AS source,
           p.proconfig IS NOT DISTINCT FROM ARRAY['search_path=pg_catalog'] AS settings,
           obj_description(t.oid, 'pg_trigger') AS comment,
           EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = t.tgrelid AND NOT o.tgisinternal
               AND o.tgtype & 3 = 3 AND o.tgenabled <> 'D'
               AND o.tgname::text COLLATE "C" > t.tgname::text COLLATE "C"
               AND o.tgname::text NOT LIKE 'zz\_claviger\_gate\_%') AS overruled
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang
    WHERE t.tgrelid = to_regclass($1) AND t.tgname = $2 AND NOT t.tgisinternal"#;

const SETTLED: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8";
