use dataflow_core::{
    pipeline::testing::learned,
    types::{InferredTypes, Type, widen},
};
use proptest::prelude::*;

fn any_type() -> impl Strategy<Value = Type> {
    use Type::*;
    let plain = prop::sample::select(vec![
        Boolean, Smallint, Integer, Bigint, Real, Double, Number, Text, Timestamp, Datetime, Date, Binary, Uuid, Json,
    ]);
    let decimal = (1_u8..=38).prop_flat_map(|precision| {
        (Just(precision), 0..=precision).prop_map(|(precision, scale)| Decimal { precision, scale })
    });
    prop_oneof![2 => plain, 1 => decimal]
}

proptest! {
    #[test]
    fn widening_is_commutative_associative_and_idempotent(a in any_type(), b in any_type(), c in any_type()) {
        prop_assert_eq!(widen(a, b), widen(b, a));
        prop_assert_eq!(widen(widen(a, b), c), widen(a, widen(b, c)));
        prop_assert_eq!(widen(a, a), a);
        prop_assert_eq!(widen(a, widen(a, b)), widen(a, b));
    }

    #[test]
    fn the_order_in_which_lanes_learn_does_not_matter(types in prop::collection::vec(any_type(), 1..6)) {
        let merge = |types: &mut dyn Iterator<Item = &Type>| {
            let mut known = InferredTypes::default();
            for ty in types {
                known.merge(&learned(*ty));
            }
            known
        };
        let forwards = merge(&mut types.iter());
        prop_assert_eq!(&forwards, &merge(&mut types.iter().rev()));
        let mut again = forwards.clone();
        prop_assert!(!again.merge(&forwards));
    }
}

#[test]
fn the_type_that_holds_both() {
    use Type::*;
    let decimal = |precision, scale| Decimal { precision, scale };
    for (a, b, both) in [
        (Smallint, Bigint, Bigint),
        (Smallint, Real, Double),
        (Integer, Double, Double),
        (Bigint, Double, Double),
        (decimal(4, 2), Double, Double),
        (Double, Number, Number),
        (Bigint, decimal(4, 2), decimal(21, 2)),
        (Smallint, decimal(5, 0), decimal(5, 0)),
        (decimal(38, 0), decimal(38, 38), Double),
        (Date, Timestamp, Timestamp),
        (Timestamp, Datetime, Json),
        (Number, Text, Json),
        (Boolean, Bigint, Json),
    ] {
        assert_eq!(widen(a, b), both, "{a} with {b}");
    }
}

#[test]
fn types_are_written_by_name() {
    assert_eq!(serde_json::to_string(&Type::Bigint).unwrap(), "\"bigint\"");
    assert_eq!(Type::Decimal { precision: 12, scale: 2 }.to_string(), "decimal(12,2)");
}
