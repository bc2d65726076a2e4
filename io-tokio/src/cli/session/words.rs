//! A line of a session as words, quoted as in a shell: `'literal'`, `"with \" and \\ escaped"`, `\` before any other
//! character, `#` before a comment. Nothing else means anything: no variables, no patterns, no pipes.
//!
//! A quote that is still open, or a `\` at the end, goes on in the next line.

/// A word, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What it says.
    pub(super) text: String,
    /// Byte offset of its first character, or of the quote before it.
    pub(super) start: usize,
}

/// A line taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Its words.
    pub(super) words: Vec<Word>,
    /// It is not over: a quote is open, or a `\` stands at its end.
    pub(super) goes_on: bool,
    /// The last word reaches to the end, so that the next character belongs to it.
    pub(super) in_word: bool,
}

/// Takes a line apart.
pub(super) fn split(line: &str) -> Line {
    let mut found = Line::default();
    let mut word: Option<Word> = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let begin = || Word { text: String::new(), start: at };
        match c {
            c if c.is_whitespace() => found.words.extend(word.take()),
            '#' if word.is_none() => {
                // To the end of this line; others may follow.
                while chars.next_if(|(_, c)| *c != '\n').is_some() {}
            }
            '\\' => match chars.next() {
                // A line goes on in the next as if there were no end.
                Some((_, '\n')) => {}
                Some((_, escaped)) => word.get_or_insert_with(begin).text.push(escaped),
                None => found.goes_on = true,
            },
            '\'' => {
                let word = word.get_or_insert_with(begin);
                found.goes_on = true;
                for (_, c) in chars.by_ref() {
                    if c == '\'' {
                        found.goes_on = false;
                        break;
                    }
                    word.text.push(c);
                }
            }
            '"' => {
                let word = word.get_or_insert_with(begin);
                found.goes_on = true;
                while let Some((_, c)) = chars.next() {
                    match c {
                        '"' => {
                            found.goes_on = false;
                            break;
                        }
                        '\\' if chars.peek().is_some_and(|(_, next)| matches!(next, '"' | '\\')) => {
                            word.text.extend(chars.next().map(|(_, escaped)| escaped));
                        }
                        c => word.text.push(c),
                    }
                }
            }
            c => word.get_or_insert_with(begin).text.push(c),
        }
    }
    found.in_word = word.is_some();
    found.words.extend(word);
    found
}

/// A word as it has to be typed.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,=@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let found = split(line);
        assert!(!found.goes_on, "{line:?}");
        found.words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_quoted_as_in_a_shell() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  store   put k v  ", &["store", "put", "k", "v"]),
            ("put k 'a  b'", &["put", "k", "a  b"]),
            (r#"put k "it's \"so\" \n""#, &["put", "k", r#"it's "so" \n"#]),
            (r"put a\ b \'", &["put", "a b", "'"]),
            ("put 'a'b\"c\"", &["put", "abc"]),
            ("put k ''", &["put", "k", ""]),
            ("status # how is it\nsync tick", &["status", "sync", "tick"]),
            ("put a#b '#c'", &["put", "a#b", "#c"]),
            ("put $HOME *.rs a|b >c", &["put", "$HOME", "*.rs", "a|b", ">c"]),
            ("put k 'two\nlines'", &["put", "k", "two\nlines"]),
            ("put \\\n k v", &["put", "k", "v"]),
            ("put ä 日本", &["put", "ä", "日本"]),
        ];
        for (line, wanted) in cases {
            assert_eq!(words(line), *wanted, "{line:?}");
        }
    }

    #[test]
    fn what_is_open_goes_on() {
        for line in ["put k 'a", "put k \"a", "put k \\", "put 'a' \"", "put k \"a\\\""] {
            assert!(split(line).goes_on, "{line:?}");
        }
    }

    #[test]
    fn the_word_at_the_end_is_known_by_where_it_begins() {
        let found = split("get 'a b");
        assert_eq!((found.in_word, found.words[1].start, found.words[1].text.as_str()), (true, 4, "a b"));
        assert!(!split("get k ").in_word && split("get k").in_word && split("get ''").in_word);
    }

    #[test]
    fn quoting_and_taking_apart_are_inverse() {
        use proptest::prelude::*;
        proptest!(|(texts in proptest::collection::vec(any::<String>(), 0..6))| {
            let line = texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(words(&line), texts);
        });
    }

    #[test]
    fn no_line_is_too_strange() {
        use proptest::prelude::*;
        proptest!(|(line in r#"['"\\\\ #a\n\t\pL]{0,40}"#)| {
            for word in split(&line).words {
                prop_assert!(line.is_char_boundary(word.start));
            }
        });
    }
}
