//! What commands print to stdout: tables for people, JSON for programs.
use serde::Serialize;
use std::io::{self, Write};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// Columns for people.
    Table,
    /// JSON for programs.
    Json,
}

/// The exit code of a program that SIGPIPE has ended, as shells show it: what reads stdout has gone away (`| head`).
const READER_GONE: i32 = 141;

/// Prints lines to stdout.
pub(super) fn print(text: &str) {
    write(text.as_bytes());
}

/// Writes whole lines to stdout. What can't be written ends the program, as half an output is none.
pub(super) fn write(lines: &[u8]) {
    let mut out = io::stdout().lock();
    let Err(error) = out.write_all(lines).and_then(|()| out.flush()) else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(READER_GONE);
    }
    say!("error: can't write to standard output: {error}");
    std::process::exit(1);
}

/// Prints a value as indented JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    print(&format!("{text}\n"));
}

/// Lays out rows under headers, columns two spaces apart. No rows: only the headers.
pub(super) fn table<const N: usize>(headers: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headers.map(width);
    for row in rows {
        for (most, cell) in widths.iter_mut().zip(row) {
            *most = (*most).max(width(cell));
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut out = String::new();
        for (cell, most) in cells.iter().zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', most - width(cell) + 2));
        }
        text.push_str(out.trim_end());
        text.push('\n');
    };
    line(headers);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    text
}

/// Lays out names and values, one pair a line.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let most = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:most$}  {value}\n")).collect()
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// The width of the terminal that stdout is, 80 if it is none.
pub(super) fn terminal_width() -> usize {
    console::Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns))
}

/// A text broken into lines of at most `width`, each after `indent` blanks. A word that is longer has a line of its own.
pub(super) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = self::width(word);
        if used > 0 && used + 1 + length > width {
            lines.push('\n');
            used = 0;
        }
        if used == 0 {
            lines.push_str(&blanks);
            used = indent;
        } else {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    if used > 0 {
        lines.push('\n');
    }
    lines
}

/// A number of things: `1 row`, `1,000 rows`.
pub(super) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A number with a comma between thousands.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "long".to_owned()], ["ünï".to_owned(), String::new()]];
        assert_eq!(table(["ID", "N"], &rows), "ID   N\na    long\nünï\n");
    }

    #[test]
    fn texts_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 9, 2), "  one two\n  three\n");
        assert_eq!(wrapped("a incomprehensibilities b", 8, 0), "a\nincomprehensibilities\nb\n");
        assert_eq!(wrapped("", 8, 4), "");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
