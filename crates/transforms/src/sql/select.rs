//! The one kind of query that works row by row: `SELECT … FROM input WHERE …`.
use crate::{
    expression::{Finding, Origin, Scope, path},
    program::{Builder, Step, Unnest},
};
use dataflow_core::types::Type;
use dataflow_formats::decode::Want;
use datafusion_sql::sqlparser::{
    ast::{
        ExceptSelectItem, ExcludeSelectItem, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
        ObjectName, Query, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned,
        TableAlias, TableFactor, TableWithJoins, WildcardAdditionalOptions,
    },
    tokenizer::Location,
};

/// The name that the records go by.
const INPUT: &str = "input";
const FIELD: &str = "query";

/// Adds the steps of a query.
pub(super) fn plan(query: Query, builder: &mut Builder<'_>) {
    let refused = refused(&query);
    let known = builder.problems.len();
    for finding in refused {
        builder.problem(FIELD, finding);
    }
    let SetExpr::Select(select) = *query.body else {
        let finding = Finding::new("unsupported", "only a SELECT works row by row");
        return builder.problem(FIELD, finding.fix("write SELECT … FROM input WHERE …"));
    };
    for finding in refused_in(&select) {
        builder.problem(FIELD, finding);
    }
    let qualifiers = match table(&select.from) {
        Ok(name) => vec![name],
        Err(finding) => return builder.problem(FIELD, finding),
    };
    if builder.problems.len() > known {
        return;
    }
    if let Some(condition) = select.selection {
        builder.filter(condition, &qualifiers, "WHERE", FIELD);
    }
    let mut projection = Projection { builder, qualifiers, star: false, scope: Scope::source(), unnest: None };
    projection.scope.open = false;
    for item in select.projection {
        projection.item(item);
    }
    projection.finish();
}

/// What is selected so far.
struct Projection<'a, 'b> {
    builder: &'a mut Builder<'b>,
    qualifiers: Vec<String>,
    star: bool,
    /// The fields after the query.
    scope: Scope,
    unnest: Option<Unnest>,
}

impl Projection<'_, '_> {
    fn item(&mut self, item: SelectItem) {
        match item {
            SelectItem::Wildcard(options) => self.wildcard(options),
            SelectItem::QualifiedWildcard(kind, options) => {
                let table = match &kind {
                    SelectItemQualifiedWildcardKind::ObjectName(name) => plain(name),
                    SelectItemQualifiedWildcardKind::Expr(expr) => expr.to_string(),
                };
                if self.qualifiers.contains(&table) {
                    return self.wildcard(options);
                }
                let finding = Finding::new("unknown-table", format!("there is no table {table}")).at(kind.span().start);
                let known = self.qualifiers.first().map_or(INPUT, String::as_str);
                self.builder
                    .problem(FIELD, finding.fix(format!("write {known}.*; fields of an object are named one by one")));
            }
            SelectItem::ExprWithAlias { expr, alias } => self.column(expr, alias.value, alias.span.start),
            SelectItem::UnnamedExpr(expr) => {
                let place = expr.span().start;
                match path(&expr).and_then(|mut path| path.pop()) {
                    Some(Ident { value, .. }) => self.column(expr, value, place),
                    None => {
                        let finding = Finding::new("missing-name", format!("{expr} has no name")).at(place);
                        self.builder.problem(FIELD, finding.fix(format!("give it one: {expr} AS …")));
                    }
                }
            }
            SelectItem::ExprWithAliases { expr, .. } => {
                let finding = Finding::new("unsupported", format!("{expr} can have one name only"));
                self.builder.problem(FIELD, finding.at(expr.span().start));
            }
        }
    }

    fn column(&mut self, expr: Expr, name: String, place: Location) {
        if !self.star && self.scope.columns.contains_key(&name) {
            let finding = Finding::new("duplicate", format!("{name} is selected twice")).at(place);
            return self.builder.problem(FIELD, finding.fix("give one of them another name with AS"));
        }
        let origin = match unnested(&expr) {
            Some(list) => self.unnest(list, &name),
            None => self.builder.value(expr, &self.qualifiers, FIELD),
        };
        match origin {
            // `*` has it already.
            Some(Origin::Field(path)) if self.star && path == [name.as_str()] && self.scope.has(&name) => {}
            Some(origin) => self.scope.set(&name, origin),
            None => {}
        }
    }

    fn unnest(&mut self, list: &Expr, name: &str) -> Option<Origin> {
        let place = list.span().start;
        let problem = |builder: &mut Builder<'_>, text: &str| {
            builder.problem(
                FIELD,
                Finding::new("unsupported", text)
                    .at(place)
                    .fix("use one field that holds a list: unnest(items) AS item"),
            );
            None
        };
        if self.unnest.is_some() {
            return problem(self.builder, "only one column can be unnested");
        }
        let Some(path) = path(list) else { return problem(self.builder, "only a field can be unnested") };
        use crate::expression::scope::Target;
        let field = match self.builder.scope.resolve(&path, &self.qualifiers) {
            Ok(Target::Field(path)) => path,
            Ok(Target::Register(_) | Target::Within(..) | Target::Meta(_)) => {
                return problem(self.builder, "only a field of the source can be unnested");
            }
            Err(finding) => {
                self.builder.problem(FIELD, finding);
                return None;
            }
        };
        let checked = self.builder.cx.check_path(&field).map_err(|finding| finding.at(place));
        self.builder.note(FIELD, checked)?;
        self.builder.inputs.named.insert(field.clone());
        let list = self.builder.inputs.field(field, Want::As(Type::Json));
        let elements = self.builder.inputs.whole_elements();
        self.unnest = Some(Unnest::new(list, elements, name));
        Some(Origin::Register(elements))
    }

    fn wildcard(&mut self, options: WildcardAdditionalOptions) {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        if opt_ilike.is_some() || opt_rename.is_some() || opt_alias.is_some() {
            let finding = Finding::new("unsupported", "after * only EXCLUDE, EXCEPT and REPLACE are possible");
            return self.builder.problem(FIELD, finding);
        }
        self.star = true;
        let mut all = self.builder.scope.clone();
        let excluded: Vec<Ident> = match opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => vec![last(name)],
            Some(ExcludeSelectItem::Multiple(names)) => names.into_iter().map(last).collect(),
            None => Vec::new(),
        };
        let excepted = opt_except.into_iter().flat_map(|ExceptSelectItem { first_element, additional_elements }| {
            std::iter::once(first_element).chain(additional_elements)
        });
        for Ident { value: name, span, .. } in excluded.into_iter().chain(excepted) {
            if !all.knows(&name) {
                let message = format!("there is no field {name} to leave out");
                self.builder.problem(FIELD, Finding::new("unknown-field", message).at(span.start));
            } else if all.has(&name) {
                self.builder.inputs.removed.insert(vec![name.clone()]);
            }
            all.remove(&name);
        }
        // What was selected before the star stays before it.
        let selected = std::mem::take(&mut self.scope.columns);
        let Scope { open, columns, removed } = all;
        self.scope = Scope { open, columns: selected, removed };
        for (name, origin) in columns {
            self.scope.columns.entry(name).or_insert(origin);
        }
        for replaced in opt_replace.into_iter().flat_map(|replace| replace.items) {
            self.column(replaced.expr, replaced.column_name.value, Location::new(0, 0));
        }
    }

    fn finish(self) {
        if let Some(unnest) = self.unnest {
            self.builder.step(Step::Unnest(Box::new(unnest)));
        }
        self.builder.scope = self.scope;
    }
}

/// The argument of a call of UNNEST.
fn unnested(expr: &Expr) -> Option<&Expr> {
    let Expr::Function(call) = expr else { return None };
    let FunctionArguments::List(list) = &call.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(list))] if call.name.to_string().eq_ignore_ascii_case("unnest") => {
            Some(list)
        }
        _ => None,
    }
}

/// The name of a field that is left out.
fn last(name: ObjectName) -> Ident {
    Ident { value: plain(&name), ..Ident::with_span(name.span(), "") }
}

/// The name of a field, without quotes.
fn plain(name: &ObjectName) -> String {
    name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect::<Vec<_>>().join(".")
}

/// The name that the records have in the query.
fn table(from: &[TableWithJoins]) -> Result<String, Finding> {
    let [TableWithJoins { relation, joins }] = from else {
        let finding = match from {
            [] => Finding::new("missing-field", "has no FROM").fix("add FROM input"),
            _ => joined(),
        };
        return Err(finding);
    };
    if !joins.is_empty() {
        return Err(joined());
    }
    match relation {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } if plain(name) == INPUT => {
            let named = match alias {
                None => Some(INPUT.into()),
                Some(TableAlias { explicit: _, name, columns, at }) => {
                    (columns.is_empty() && at.is_none()).then(|| name.value.clone())
                }
            };
            let bare = args.is_none()
                && with_hints.is_empty()
                && version.is_none()
                && !with_ordinality
                && partitions.is_empty()
                && json_path.is_none()
                && sample.is_none()
                && index_hints.is_empty();
            named.filter(|_| bare).ok_or_else(|| {
                let message = format!("{relation} is not possible: records are read one by one, as they are");
                Finding::new("unsupported", message)
                    .fix("write FROM input, or FROM input AS name")
                    .at(name.span().start)
            })
        }
        TableFactor::Table { name, .. } => {
            let place = name.span().start;
            Err(Finding::new("unknown-table", format!("there is no table {name}"))
                .fix("records are read FROM input")
                .at(place))
        }
        TableFactor::Derived { .. } => {
            Err(Finding::new("unsupported", "a subquery is not possible").fix("put a `sql` transform before this one"))
        }
        _ => Err(Finding::new("unsupported", "records are read FROM input only")),
    }
}

fn joined() -> Finding {
    Finding::new("unsupported", "a join is not possible row by row")
        .fix("look the other records up before they come here, or in the database that they go to")
}

fn aggregated(what: &str) -> Finding {
    let message = format!("{what} is not possible: the result would depend on which records come together in a batch");
    Finding::new("unsupported", message).fix("leave it to the database or program that receives the records")
}

fn only_select() -> Finding {
    Finding::new("unsupported", "only SELECT … FROM input WHERE … is possible")
}

/// What a query has that a row by itself can't have. Each part is named, so that none is ignored.
fn refused(query: &Query) -> Vec<Finding> {
    let Query {
        with,
        body: _,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    let found = [(order_by.is_some(), "ORDER BY"), (limit_clause.is_some(), "LIMIT"), (fetch.is_some(), "FETCH")];
    let mut findings: Vec<Finding> =
        found.into_iter().filter(|(is, _)| *is).map(|(_, what)| aggregated(what)).collect();
    if with.is_some() {
        let finding = Finding::new("unsupported", "WITH is not possible");
        findings.push(finding.fix("put a `sql` transform before this one"));
    }
    let other = [
        !locks.is_empty(),
        for_clause.is_some(),
        settings.is_some(),
        format_clause.is_some(),
        !pipe_operators.is_empty(),
    ];
    if other.contains(&true) {
        findings.push(only_select());
    }
    findings
}

fn refused_in(select: &Select) -> Vec<Finding> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let grouped = match group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, modifiers) => !by.is_empty() || !modifiers.is_empty(),
    };
    let found = [
        (distinct.is_some(), "DISTINCT"),
        (grouped, "GROUP BY"),
        (having.is_some(), "HAVING"),
        (qualify.is_some(), "QUALIFY"),
        (top.is_some(), "TOP"),
        (!sort_by.is_empty() || !cluster_by.is_empty() || !distribute_by.is_empty(), "SORT BY"),
        (!named_window.is_empty(), "WINDOW"),
    ];
    let mut findings: Vec<Finding> =
        found.into_iter().filter(|(is, _)| *is).map(|(_, what)| aggregated(what)).collect();
    let other = [
        !optimizer_hints.is_empty(),
        select_modifiers.is_some(),
        exclude.is_some(),
        into.is_some(),
        !lateral_views.is_empty(),
        prewhere.is_some(),
        !connect_by.is_empty(),
        value_table_mode.is_some(),
        *flavor != SelectFlavor::Standard,
    ];
    if other.contains(&true) {
        findings.push(only_select());
    }
    findings
}
