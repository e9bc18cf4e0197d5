//! Reading cleaned glyphs and past corrections from JSON, tolerant of fields that are missing or more.

use serde::Deserialize;
use serde_json::Value;

use super::select::Correction;

/// A glyph, as far as selection needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Glyph {
    /// Its id, empty when it has none.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it describes.
    pub description: String,
    /// Words and phrases that call it.
    pub triggers: Vec<String>,
    /// The tone it answers.
    pub tone: String,
    /// The layer that it belongs to.
    pub layer: String,
    /// Its integrity score, 0 when it has none.
    pub integrity: f64,
}

/// Glyphs in the order of their file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GlyphSet {
    /// The glyphs that have a name.
    pub glyphs: Vec<Glyph>,
    /// How many rows had none and were left out.
    pub unnamed: u64,
}

/// Why a file holds no glyphs. Contents of rows are not repeated.
#[derive(Debug, thiserror::Error)]
pub enum GlyphError {
    /// It is no JSON.
    #[error("the file is not JSON")]
    Json(#[from] serde_json::Error),
    /// It is neither a list nor an object with a list `glyphs`.
    #[error("the file is neither a JSON array nor an object with an array `glyphs`")]
    NotAList,
    /// A row is not an object.
    #[error("row {0} (from 1) is not an object")]
    NotAnObject(usize),
}

impl GlyphSet {
    /// Reads a JSON array of glyphs, or an object that has one as `glyphs`.
    pub fn parse(text: &str) -> Result<Self, GlyphError> {
        let mut set = Self::default();
        for (number, row) in rows(text)?.iter().enumerate() {
            if !row.is_object() {
                return Err(GlyphError::NotAnObject(number + 1));
            }
            let name = words_of(&row["name"]);
            if name.trim().is_empty() {
                set.unnamed += 1;
                continue;
            }
            set.glyphs.push(Glyph {
                id: words_of(&row["id"]),
                name,
                description: words_of(&row["description"]),
                triggers: list_of(&row["triggers"]),
                tone: words_of(&row["emotional_tone"]),
                layer: words_of(&row["response_layer"]),
                integrity: row["integrity_score"].as_f64().unwrap_or(0.0),
            });
        }
        Ok(set)
    }
}

/// Reads a JSON array of past corrections.
pub fn corrections(text: &str) -> Result<Vec<Correction>, GlyphError> {
    Ok(Vec::<Correction>::deserialize(&Value::from(rows(text)?))?)
}

fn rows(text: &str) -> Result<Vec<Value>, GlyphError> {
    match serde_json::from_str(text.trim_start_matches('\u{feff}'))? {
        Value::Array(rows) => Ok(rows),
        Value::Object(mut object) => match object.remove("glyphs") {
            Some(Value::Array(rows)) => Ok(rows),
            _ => Err(GlyphError::NotAList),
        },
        _ => Err(GlyphError::NotAList),
    }
}

/// Text, a number as text, or nothing.
fn words_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// A list, or text that is one in JSON or is separated by commas.
fn list_of(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(words_of).filter(|item| !item.trim().is_empty()).collect(),
        Value::String(text) => serde_json::from_str(text)
            .unwrap_or_else(|_| text.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>()),
        _ => Vec::new(),
    }
}
