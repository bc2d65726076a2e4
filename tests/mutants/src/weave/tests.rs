use super::*;

fn mutant(source: &str, genre: Genre, at: &str, replacement: &str) -> Mutant {
    let offset = source.find(at).unwrap();
    let before = &source[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    Mutant {
        name: String::new(),
        file: String::new(),
        genre,
        replacement: replacement.into(),
        span: crate::catalogue::Span { start: Place { line, column } },
    }
}

/// The text with the mutants woven in, without blanks and comments.
fn woven(source: &str, mutants: &[Mutant]) -> String {
    let numbered: Vec<_> = (1..).zip(mutants).collect();
    let text = weave(source, &numbered, &BTreeSet::new()).unwrap().text;
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut plain = text;
    for id in 1..=mutants.len() {
        plain = plain.replace(&format!("/*m{id}*/"), "");
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_operator_is_one_of_several_and_what_is_within_it_is_woven_too() {
    let source = "fn f(a: u8, b: u8, c: u8) -> bool { a + b < c }";
    let mutants = [
        mutant(source, Genre::BinaryOperator, "< c", "=="),
        mutant(source, Genre::BinaryOperator, "< c", ">"),
        mutant(source, Genre::BinaryOperator, "+ b", "-"),
    ];
    let is = |id| format!("if crate::mutant::is({id})");
    assert_eq!(
        woven(source, &mutants),
        format!(
            "fn f(a: u8, b: u8, c: u8) -> bool {{ ({} {{ a + b == c }} else {} {{ a + b > c }} else {{ ({} {{ a - b }} else {{ a + b }}) < c }}) }}",
            is(1),
            is(2),
            is(3)
        )
    );
}

#[test]
fn functions_arms_guards_operators_and_fields_are_woven() {
    let source = "const fn f(a: A) -> A { match a { A(0) => a, A(n) if n > 2 => A { x: 1, ..a }, _ => !a } }";
    let mutants = [
        mutant(source, Genre::FnValue, "match", "A(7)"),
        mutant(source, Genre::MatchArm, "A(0)", ""),
        mutant(source, Genre::MatchArmGuard, "n > 2", "true"),
        mutant(source, Genre::MatchArmGuard, "n > 2", "false"),
        mutant(source, Genre::StructField, "x: 1", ""),
        mutant(source, Genre::UnaryOperator, "!a", ""),
    ];
    assert_eq!(
        woven(source, &mutants),
        "fn f(a: A) -> A { if crate::mutant::is(1) { return A(7); } match a { A(0) if !crate::mutant::is(2) => a, \
         A(n) if (crate::mutant::is(3) || (!crate::mutant::is(4) && (n > 2))) => \
         (if crate::mutant::is(5) { A { ..a } } else { A { x: 1, ..a } }), \
         _ => (if crate::mutant::is(6) { a } else { !a }) } }"
    );
}

#[test]
fn nothing_is_woven_into_constants_nor_beside_a_let() {
    let source = "const A: u8 = 1 + 2; fn f(a: Option<u8>) -> bool { if a.is_some() && let Some(b) = a { b > 1 } else { false } }";
    let mutants =
        [mutant(source, Genre::BinaryOperator, "+ 2", "-"), mutant(source, Genre::BinaryOperator, "&& let", "||")];
    let numbered: Vec<_> = (1..).zip(&mutants).collect();
    let woven = weave(source, &numbered, &BTreeSet::new()).unwrap();
    assert_eq!(woven.text, source);
    assert!(woven.inside.is_empty());
}

#[test]
fn how_long_an_array_is_stays_constant() {
    let source = "fn f(a: u8) -> [u8; 4] { [a + 1; 1 << 2] }";
    let mutants =
        [mutant(source, Genre::BinaryOperator, "+ 1", "-"), mutant(source, Genre::BinaryOperator, "<< 2", ">>")];
    let numbered: Vec<_> = (1..).zip(&mutants).collect();
    let woven = weave(source, &numbered, &BTreeSet::new()).unwrap();
    assert_eq!(woven.inside, BTreeSet::from([1]));
    assert!(woven.text.contains("; 1 << 2]"), "{}", woven.text);
}

#[test]
fn a_function_that_a_constant_needs_stays_constant() {
    let source = "const A: u8 = f(1); const fn f(a: u8) -> u8 { a + 2 }";
    let mutants = [mutant(source, Genre::BinaryOperator, "+ 2", "-")];
    let numbered: Vec<_> = (1..).zip(&mutants).collect();
    let woven = weave(source, &numbered, &BTreeSet::from(["f".to_owned()])).unwrap();
    assert_eq!(woven.text, source);
    assert!(woven.inside.is_empty());
}
