//! A table as the API's own description (`OpenAPI`) has it, for servers without the functions of this project.
//!
//! The description lacks a lot: unique keys, identity and computed columns, scales of numerics, triggers. What is
//! unknown is left out and said in the limits of the target, never guessed.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::Fault;
use crate::target::schema::{Column, Origin, Table, TableName};
use crate::value::Kind;

/// The part of the description that is read.
#[derive(Deserialize)]
pub(super) struct Description {
    #[serde(default = "Members::default")]
    definitions: Members<Definition>,
    #[serde(default = "Members::default")]
    paths: Members<Members<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Definition {
    #[serde(default)]
    required: Vec<String>,
    #[serde(default = "Members::default")]
    properties: Members<Property>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    format: String,
    #[serde(default)]
    description: String,
    #[serde(rename = "maxLength")]
    length_max: Option<u64>,
    default: Option<Box<RawValue>>,
}

/// What the description says of one name.
pub(super) enum Found {
    /// A table that can be written to, or a view that looks like one.
    Table(Table),
    /// It can be read only.
    ReadOnly,
    /// It is not there; the names that are.
    Missing(Vec<String>),
}

impl Description {
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(body).map_err(|_| Fault::failed("the API's description cannot be read"))
    }

    pub(super) fn find(&self, name: &TableName) -> Found {
        let Some(definition) = self.definitions.get(&name.name) else {
            return Found::Missing(self.definitions.0.iter().map(|(name, _)| name.clone()).collect());
        };
        let methods = self.paths.get(&format!("/{}", name.name));
        let can = |method: &str| methods.is_some_and(|methods| methods.get(method).is_some());
        if !(can("post") && can("patch") && can("delete")) {
            return Found::ReadOnly;
        }
        let columns: Vec<Column> = definition
            .properties
            .0
            .iter()
            .map(|(name, property)| definition.column(name, property))
            .collect();
        let is_key = |(_, property): &&(String, Property)| property.description.contains("<pk/>");
        let properties = || definition.properties.0.iter();
        let primary_key = properties().zip(0..).filter(|(p, _)| is_key(p)).map(|(_, i)| i).collect();
        Found::Table(Table { name: name.clone(), columns, primary_key, unique: vec![], notes: vec![] })
    }
}

impl Definition {
    fn column(&self, name: &str, property: &Property) -> Column {
        let length = property.length_max.map(|length| format!("({length})")).unwrap_or_default();
        Column {
            name: name.to_owned(),
            type_name: format!("{}{length}", property.format),
            kind: kind(&property.format),
            nullable: !self.required.iter().any(|required| required == name),
            default: property.default.as_ref().map(|default| text(default.get())),
            origin: Origin::Written,
        }
    }
}

/// A default of a text type comes as a JSON string, and so does an expression.
fn text(raw: &str) -> String {
    serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())
}

fn kind(format: &str) -> Kind {
    match format {
        "boolean" => Kind::Bool,
        "smallint" | "integer" | "bigint" => Kind::Int,
        "numeric" => Kind::Number,
        "real" | "double precision" => Kind::Real,
        "text" | "character varying" | "character" | "citext" | "name" => Kind::Text,
        "bytea" => Kind::Bytes,
        "json" | "jsonb" => Kind::Json,
        "uuid" => Kind::Uuid,
        "timestamp with time zone" => Kind::TimestampTz,
        "timestamp without time zone" => Kind::Timestamp,
        "date" => Kind::Date,
        _ => Kind::Other,
    }
}

/// An object whose members keep their order: that of the columns is the catalogue's.
struct Members<T>(Vec<(String, T)>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Members<T> {
    fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, member)| member)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"swagger":"2.0","info":{"x":1},"paths":{
        "/":{"get":{}},"/t":{"get":{"a":[1]},"post":{},"patch":{},"delete":{}},"/v":{"get":{}}},
        "definitions":{
        "v":{"properties":{"z":{"format":"text","type":"string"}},"type":"object"},
        "t":{"required":["z","a"],"properties":{
            "z":{"description":"Note:\nThis is a Primary Key.<pk/>","format":"bigint","type":"integer"},
            "v":{"format":"character varying","maxLength":20,"type":"string","default":"none"},
            "a":{"description":"A note.\n\nNote:\nThis is a Primary Key.<pk/>","format":"uuid","type":"string"},
            "m":{"enum":["sad","fine"],"format":"public.mood","type":"string"},
            "n":{"format":"numeric","type":"number","default":1.50},
            "j":{"format":"jsonb"}},"type":"object"}}}"#;

    fn find(name: &str) -> Found {
        Description::read(BODY.as_bytes()).unwrap().find(&TableName::parse(name).unwrap())
    }

    #[test]
    fn columns_come_in_the_order_of_the_catalogue() {
        let Found::Table(table) = find("t") else { panic!("not found") };
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|c| (c.name.as_str(), c.type_name.as_str(), c.kind, c.nullable, c.default.as_deref()))
            .collect();
        let expected = [
            ("z", "bigint", Kind::Int, false, None),
            ("v", "character varying(20)", Kind::Text, true, Some("none")),
            ("a", "uuid", Kind::Uuid, false, None),
            ("m", "public.mood", Kind::Other, true, None),
            ("n", "numeric", Kind::Number, true, Some("1.50")),
            ("j", "jsonb", Kind::Json, true, None),
        ];
        assert_eq!(columns, expected);
        assert_eq!(table.primary_key, [0, 2]);
    }

    #[test]
    fn what_cannot_be_written_or_is_not_there_is_told_apart() {
        assert!(matches!(find("v"), Found::ReadOnly));
        let Found::Missing(names) = find("tt") else { panic!("found") };
        assert_eq!(names, ["v", "t"]);
        assert!(Description::read(b"<html>").is_err());
        assert!(
            matches!(Description::read(b"{}").unwrap().find(&TableName::parse("t").unwrap()), Found::Missing(n) if n.is_empty())
        );
    }
}
