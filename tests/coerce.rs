//! What coercion foresees is what the databases store: the same fields are given to both, and the texts compared.
//!
//! A value that PostgreSQL or SQLite stores otherwise than foreseen would be a change in every plan for ever.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may")]

mod support {
    #[expect(dead_code, reason = "each test binary uses a part of the support")]
    pub(crate) mod postgres;
}

#[path = "coerce/corpus.rs"]
mod corpus;
#[path = "coerce/postgres.rs"]
mod postgres_stores;
#[path = "coerce/sqlite.rs"]
mod sqlite_stores;
#[path = "coerce/unchanged.rs"]
mod unchanged;

use ops::change::coerce::{Coercion, Dialect, Scratch};
use ops::records::Field;
use ops::target::schema::{Column, Origin};
use ops::value::{Kind, Value};

/// What coercion foresees; `Err` is what it expected instead.
fn foresee(dialect: Dialect, type_name: &str, kind: Kind, field: Field<'_>) -> Result<Value, String> {
    foresee_in(dialect, &column(type_name, kind), field)
}

fn column(type_name: &str, kind: Kind) -> Column {
    Column {
        name: "c".to_owned(),
        type_name: type_name.to_owned(),
        kind,
        nullable: true,
        default: None,
        origin: Origin::Written,
    }
}

fn foresee_in(dialect: Dialect, column: &Column, field: Field<'_>) -> Result<Value, String> {
    let mut scratch = Scratch::default();
    let coerced = Coercion::new(dialect, column).coerce(field, &mut scratch).map_err(|e| e.expected)?;
    Ok(coerced.value(field, &scratch).to_value())
}

/// A text as a JSON string that has an escape for every character.
fn escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

fn is_json_number(text: &str) -> bool {
    !text.starts_with(['"', '[', '{', 't', 'f', 'n'])
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok_and(|raw| raw.get() == text)
}
