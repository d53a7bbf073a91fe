use super::Class;

#[test]
fn the_same_value_has_one_spelling() {
    for (class, said, untyped, stored) in [
        (Class::Number, "12.50", false, "12.5"),
        (Class::Number, "1e3", false, "1000"),
        (Class::Number, "-0", false, "0"),
        (Class::Number, "\"7\"", true, "7"),
        (Class::Instant, "\"2026-01-02T03:04:05+02:00\"", false, "2026-01-02 01:04:05+00"),
        (Class::Instant, "\"2026-01-02 03:04:05.60\"", false, "2026-01-02T03:04:05.6Z"),
        (Class::Datetime, "\"2026-01-02T03:04:05\"", false, "2026-01-02 03:04:05"),
        (Class::Date, "\"2026-01-02\"", false, "2026-01-02"),
        (Class::Uuid, "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"", false, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (Class::Json, r#"{"b": 1.0, "a": "\u0041", "b": 2}"#, false, r#"{"a":"A","b":2}"#),
        (Class::Json, r#""{\"a\": 1}""#, true, r#"{"a":1}"#),
        (Class::Boolean, "\"yes\"", true, "true"),
        (Class::Text, "\"00501\"", false, "00501"),
        (Class::Padded, "\"ab\"", false, "ab  "),
        (Class::Real, "0.1", false, "0.1"),
        (Class::Double, "48.053808600000004", false, "48.0538086"),
        (Class::Double, "4611686018427387904", false, "4.611686018427388e+18"),
        (Class::Double, "-9223372036854775808", false, "-9.223372036854776e+18"),
        (Class::Double, "9223372036854775808", false, "9.223372036854776e+18"),
        (Class::Double, "4.611686018427388e18", false, "4.611686018427388e+18"),
        (Class::Double, "-0.0", false, "-0"),
        (Class::Double, "1125899906842624.2", false, "1125899906842624.2"),
        (Class::Double, "1125899906842624.3", false, "1125899906842624.2"),
        (Class::Double, "-1125899906842624.7", false, "-1125899906842624.8"),
        (Class::Real, "1048576.2", false, "1048576.2"),
        (Class::Real, "1048576.3", false, "1048576.2"),
        (Class::List(&Class::Double), "[4611686018427387904]", false, "[4611686018427388000]"),
        (Class::Bytes, "\"-/8=\"", false, "+/8="),
        (Class::List(&Class::Number), "[1.0, null, [2]]", false, "[1, null, [2.0]]"),
        (Class::List(&Class::Instant), "[\"2026-01-02T03:04:05Z\"]", false, "[\"2026-01-02T03:04:05+00:00\"]"),
    ] {
        assert_eq!(class.said(said, untyped), Some(class.stored_text(stored)), "{class:?} {said} {stored}");
    }
}

#[test]
fn an_instant_is_shown_with_its_zone() {
    let shown = |class: Class| super::shown(Some(&class.stored_text("2026-01-02 03:04:05")));
    assert_eq!([shown(Class::Instant), shown(Class::Datetime)], ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05"]);
}

#[test]
fn another_value_has_another_spelling() {
    for (class, said, untyped, stored) in [
        (Class::Number, "1.239", false, "1.24"),
        (Class::Number, "\"01067\"", true, "1067"),
        (Class::Number, "\"+49351\"", true, "49351"),
        (Class::Number, "\"7\"", false, "7"),
        (Class::Double, "9007199254740993.0", false, "9007199254740992"),
        (Class::Double, "1e-400", false, "0"),
        (Class::Double, "1125899906842624.4", false, "1125899906842624.2"),
        (Class::Double, "0.30000000000000002", false, "0.3"),
        (Class::Real, "16777217", false, "16777216"),
        (Class::Text, "\"abcd\"", false, "abc"),
        (Class::Text, "null", false, ""),
        (Class::Instant, "\"2026-01-02T03:04:05.123456789Z\"", false, "2026-01-02T03:04:05.123456Z"),
        (Class::Json, "\"1\"", false, "1"),
        (Class::Json, "\"x\"", true, "\"x\""),
        (Class::List(&Class::Text), "[\"a\", \"b\"]", false, "[\"a,b\"]"),
    ] {
        assert_ne!(class.said(said, untyped), Some(class.stored_text(stored)), "{class:?} {said} {stored}");
    }
    assert_ne!(Class::Anything.said("\"00501\"", false), Some(Class::Anything.stored_integer(501)));
    assert_ne!(Class::Text.said("\"1e5\"", false), Some(Class::Text.stored_double(100_000.0)));
    assert_eq!(Class::Double.said("1.0", false), Some(Class::Double.stored_integer(1)));
    for integer in ["9223372036854775808", "-9223372036854775808", "18446744073709551616", "4.611686018427388e18"] {
        let stored = integer.parse().unwrap();
        assert_eq!(Class::Double.said(integer, false), Some(Class::Double.stored_double(stored)), "{integer}");
    }
    for (spelled, kept) in [
        ("4.611686018427388e18", 4_611_686_018_427_388_000),
        ("1000000000000001e2", 100_000_000_000_000_100),
        ("9007199254740993.0", 9_007_199_254_740_993),
        ("-9223372036854775808.00", i64::MIN),
    ] {
        for class in [Class::Anything, Class::NumericJson, Class::Numeric] {
            assert_eq!(class.said(spelled, false), Some(class.stored_integer(kept)), "{class:?} {spelled}");
        }
    }
    for beyond in ["9223372036854775808", "18446744073709551616", "1e19"] {
        let stored = beyond.parse().unwrap();
        assert_eq!(Class::Anything.said(beyond, false), Some(Class::Anything.stored_double(stored)), "{beyond}");
    }
    assert_eq!(
        Class::Double.said("9007199254740994", false),
        Some(Class::Double.stored_double(9_007_199_254_740_994.0))
    );
}
