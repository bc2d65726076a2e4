use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> Result<(Bytes, Bytes), LineError> {
    parse_line(line.as_bytes())
}

fn record(key: &'static [u8], value: &'static [u8]) -> Result<(Bytes, Bytes), LineError> {
    Ok((Bytes::from_static(key), Bytes::from_static(value)))
}

#[test]
fn text_and_base64_are_read() {
    assert_eq!(parse(r#"{"key":"a","value":"b"}"#), record(b"a", b"b"));
    assert_eq!(parse(" { \"value\" : \"\" , \"key\" : \"a b\" } \r\n"), record(b"a b", b""));
    assert_eq!(parse(r#"{"key_base64":"/wA=","value_base64":""}"#), record(b"\xff\0", b""));
    assert_eq!(parse(r#"{"key":"\u00e4\ud83d\ude00","value":"\n\\"}"#), record("ä😀".as_bytes(), b"\n\\"));
    assert_eq!(parse(r#"{"key":"a","key_base64":null,"value":"b"}"#), record(b"a", b"b"));
}

#[test]
fn everything_else_is_refused_with_its_reason() {
    let long_key = format!(r#"{{"key":"{}","value":""}}"#, "k".repeat(MAX_KEY_LEN + 1));
    let cases = [
        ("", "not a record: no JSON object"),
        ("7", "not a record: no JSON object"),
        (r#"["a",null,"b",null]"#, "not a record: no JSON object"),
        ("{\"key\":\"a\",\"value\":\"b\r\n", "not a record: EOF while parsing a string at column 21"),
        (r#"{"key":"a","value":"b""#, "not a record: EOF while parsing an object at column 22"),
        (r#"{"key":"a","value":"b"} {}"#, "not a record: trailing characters at column 25"),
        (r#"{"key":"a","value":5}"#, "not a record: invalid type: integer `5`, expected a string at column 20"),
        (r#"{"key":"a","valeu":"b"}"#, "not a record: unknown field `valeu`"),
        (r#"{"key":"a","key":"b","value":""}"#, "not a record: duplicate field `key`"),
        (r#"{"key":"\ud800","value":""}"#, "not a record: unexpected end of hex escape at column 15"),
        (r#"{"value":"b"}"#, "not a record: neither \"key\" nor \"key_base64\" is there"),
        (r#"{"key":"a"}"#, "not a record: neither \"value\" nor \"value_base64\" is there"),
        (r#"{"key":"a","key_base64":"YQ==","value":""}"#, "not a record: both \"key\" and \"key_base64\" are there"),
        (r#"{"key":"a","value_base64":"%"}"#, "not a record: \"value_base64\" is not base64"),
        (r#"{"key":"","value":"b"}"#, "the key is empty"),
        (&long_key, "the key has 1025 bytes, more than 1024"),
    ];
    for (line, reason) in cases {
        let error = parse(line).expect_err(line).to_string();
        assert!(error.starts_with(reason), "{line}: {error}");
    }
    let error = parse_line(b"{\"key\":\"\xff\",\"value\":\"\"}").expect_err("not UTF-8").to_string();
    assert!(error.contains("invalid unicode"), "{error}");
}

#[test]
fn a_line_beyond_the_bound_is_refused_unread() {
    assert_eq!(parse_line(&vec![b' '; MAX_LINE_LEN + 1]), Err(LineError::LongLine));
}

#[test]
fn lines_look_like_this() {
    let mut out = Vec::new();
    write_line(&mut out, b"greeting", "hé\"llo\n".as_bytes());
    write_line(&mut out, b"\xff\0", b"");
    write_line(&mut out, b"logo", b"\x89PNG");
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"key\":\"greeting\",\"value\":\"hé\\\"llo\\n\"}\n\
         {\"key_base64\":\"/wA=\",\"value\":\"\"}\n\
         {\"key\":\"logo\",\"value_base64\":\"iVBORw==\"}\n"
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        key in proptest::collection::vec(any::<u8>(), 1..=MAX_KEY_LEN.min(64)),
        value in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), ".{0,60}".prop_map(String::into_bytes)],
    ) {
        let mut line = Vec::new();
        write_line(&mut line, &key, &value);
        prop_assert_eq!(line.iter().filter(|&&b| b == b'\n').count(), 1);
        let (read_key, read_value) = parse_line(&line).unwrap();
        prop_assert_eq!(&read_key[..], &key[..]);
        prop_assert_eq!(&read_value[..], &value[..]);
    }

    #[test]
    fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _either = parse_line(&line);
    }
}
