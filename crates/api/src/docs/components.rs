//! The schemas of sources, transforms and sinks: one for each type, told apart by `type`.
use dataflow_sdk::{Catalog, catalog::Role, transform::Compiler};
use schemars::Schema;
use serde_json::{Map, Value, json};

/// The schemas of all connectors and transforms of a node, and `Source`, `Transform` and `Sink`, which are one of them.
pub(super) fn schemas(catalog: &Catalog, compiler: &dyn Compiler) -> Map<String, Value> {
    let mut schemas = Map::new();
    for (family, role) in [("Source", Role::Source), ("Sink", Role::Sink)] {
        let connectors = catalog.connectors().iter().filter(|connector| connector.role == role);
        one_of(family, connectors.map(|connector| (connector.ty, connector.schema())), &mut schemas);
    }
    let transforms = compiler.catalog().into_iter().map(|(ty, _, schema)| (ty, schema));
    one_of("Transform", transforms, &mut schemas);
    schemas
}

fn one_of<'a>(family: &str, members: impl Iterator<Item = (&'a str, Schema)>, schemas: &mut Map<String, Value>) {
    let (mut references, mut mapping) = (Vec::new(), Map::new());
    for (ty, schema) in members {
        let name = format!("{family}.{ty}");
        let reference = format!("#/components/schemas/{name}");
        references.push(json!({"$ref": reference}));
        mapping.insert(ty.into(), reference.into());
        take(&name, ty, schema.to_value(), schemas);
    }
    schemas.insert(
        family.into(),
        json!({"oneOf": references, "discriminator": {"propertyName": "type", "mapping": mapping}}),
    );
}

/// Takes the schema of one type over, its definitions under names of their own.
fn take(name: &str, ty: &str, mut schema: Value, schemas: &mut Map<String, Value>) {
    refer(&mut schema, name);
    let Value::Object(mut fields) = schema else { return };
    fields.shift_remove("$schema");
    fields.shift_remove("title");
    if let Some(Value::Object(definitions)) = fields.shift_remove("$defs") {
        schemas.extend(definitions.into_iter().map(|(defined, schema)| (format!("{name}.{defined}"), schema)));
    }
    let properties = fields.entry("properties").or_insert_with(|| json!({}));
    properties["type"] = json!({"const": ty});
    match fields.entry("required").or_insert_with(|| json!([])) {
        Value::Array(required) if !required.contains(&json!("type")) => required.insert(0, json!("type")),
        _ => {}
    }
    schemas.insert(name.into(), Value::Object(fields));
}

/// Makes references into a schema's own definitions ones into the document's, and items of any kind an empty schema.
fn refer(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(reference) if key == "$ref" => {
                        *reference = reference.replace("#/$defs/", &format!("#/components/schemas/{name}."));
                    }
                    // Generators of clients know schemas as objects only.
                    Value::Bool(true) if key == "items" => *value = json!({}),
                    _ => refer(value, name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| refer(item, name)),
        _ => {}
    }
}
