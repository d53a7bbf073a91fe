//! Names for the fields of CSV records: each has one of its own, whatever the header says.
use dataflow_sdk::batch::Warning;
use std::collections::HashSet;

/// The names of a file's header; a field without one is called by its place, and one with another's name has a number after it.
pub(super) fn named(file: &str, mut names: Vec<String>) -> (Vec<String>, Option<Warning>) {
    let mut taken: HashSet<String> = names.iter().cloned().collect();
    let (mut seen, mut called) = (HashSet::new(), Vec::new());
    for (place, name) in (1..).zip(&mut names) {
        let wanted = if name.is_empty() { format!("column{place}") } else { name.clone() };
        if !name.is_empty() && seen.insert(wanted.clone()) {
            continue;
        }
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let free = std::iter::once(wanted.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
        *name = free.unwrap_or(wanted);
        called.push(format!("{name} (field {place})"));
    }
    let called = called.join(", ");
    let warning = (!called.is_empty()).then(|| Warning {
        code: "bad-header",
        message: format!("the header of {file} has unnamed fields or repeated names: they are called {called}"),
        subject: called,
        records: 0,
    });
    (names, warning)
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn each_field_has_a_name_of_its_own() {
        let cases: &[(&str, &str, &str)] = &[
            ("id,x", "id,x", ""),
            ("id,,x", "id,column2,x", "column2 (field 2)"),
            ("a,a", "a,a_2", "a_2 (field 2)"),
            ("a,a,a", "a,a_2,a_3", "a_2 (field 2), a_3 (field 3)"),
            ("a,a,a_2", "a,a_3,a_2", "a_3 (field 2)"),
            (",column1", "column1_2,column1", "column1_2 (field 1)"),
            (",", "column1,column2", "column1 (field 1), column2 (field 2)"),
            ("a,A", "a,A", ""),
        ];
        for (header, expected, called) in cases {
            let (names, warning) = named("a.csv", header.split(',').map(str::to_owned).collect());
            assert_eq!(names.join(","), *expected, "{header}");
            assert_eq!(warning.map_or_else(String::new, |warning| warning.subject), *called, "{header}");
        }
    }
}
