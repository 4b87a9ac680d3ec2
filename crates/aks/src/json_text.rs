//! Reformats JSON text without parsing its values: keys keep their order, numbers their digits.

/// Indents by two spaces, like Go's `json.Indent`. The input must be valid JSON.
pub fn indent(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    // After an opening bracket, the next character determines whether a line break follows.
    let mut after_opening = false;
    for token in tokens(json) {
        let is_closing = matches!(token, Token::Punctuation('}' | ']'));
        if after_opening && !is_closing {
            depth += 1;
            push_new_line(&mut out, depth);
        }
        match token {
            Token::Punctuation(c @ ('{' | '[')) | Token::Other(c) => out.push(c),
            Token::Punctuation(c @ ('}' | ']')) => {
                if !after_opening {
                    depth = depth.saturating_sub(1);
                    push_new_line(&mut out, depth);
                }
                out.push(c);
            }
            Token::Punctuation(',') => {
                out.push(',');
                push_new_line(&mut out, depth);
            }
            Token::Punctuation(c) => {
                out.push(c);
                out.push(' ');
            }
        }
        after_opening = matches!(token, Token::Punctuation('{' | '['));
    }
    out
}

/// Removes the whitespace outside of strings. The input must be valid JSON.
pub fn compact(json: &str) -> String {
    tokens(json)
        .map(|token| match token {
            Token::Punctuation(c) | Token::Other(c) => c,
        })
        .collect()
}

#[derive(Clone, Copy)]
enum Token {
    /// One of `{ } [ ] , :` outside of strings.
    Punctuation(char),
    /// Any other character; never whitespace outside of strings.
    Other(char),
}

/// The characters of the text without whitespace outside of strings.
fn tokens(json: &str) -> impl Iterator<Item = Token> {
    let (mut in_string, mut escaped) = (false, false);
    json.chars().filter_map(move |c| {
        if in_string {
            in_string = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
            return Some(Token::Other(c));
        }
        in_string = c == '"';
        match c {
            ' ' | '\t' | '\r' | '\n' => None,
            '{' | '}' | '[' | ']' | ',' | ':' => Some(Token::Punctuation(c)),
            _ => Some(Token::Other(c)),
        }
    })
}

fn push_new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_as_in_go() {
        for (json, expected) in [
            ("{}", "{}"),
            ("[ ]", "[]"),
            (
                r#"{"b":1,"a":[1,{"x":null}],"e":{}}"#,
                "{\n  \"b\": 1,\n  \"a\": [\n    1,\n    {\n      \"x\": null\n    }\n  ],\n  \"e\": {}\n}",
            ),
            (r#""a\"{ b""#, r#""a\"{ b""#),
            (r#"{"a\\":"\\"}"#, "{\n  \"a\\\\\": \"\\\\\"\n}"),
            (" 1.50e3 ", "1.50e3"),
        ] {
            assert_eq!(indent(json), expected, "{json}");
        }
    }

    #[test]
    fn compact_json_keeps_the_spaces_in_strings() {
        assert_eq!(compact("{ \"a b\" : [ 1 ,\n2 ] }"), r#"{"a b":[1,2]}"#);
    }

    proptest::proptest! {
        #[test]
        fn reformatted_json_has_the_same_value(text: String, number: i64, list: Vec<bool>) {
            let json = serde_json::json!({"t": text, "n": number, "l": list, "o": {"t": {}}}).to_string();
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(parse(&indent(&json)), parse(&json));
            assert_eq!(compact(&indent(&json)), json);
        }
    }
}
