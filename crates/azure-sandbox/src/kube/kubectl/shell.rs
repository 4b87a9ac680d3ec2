//! The part of a shell's syntax that command lines use: words, quotes and `&&`.

/// Parses a command line into commands, each a program with its arguments; the error names the unsupported syntax.
pub(super) fn parse(line: &str) -> Result<Vec<Vec<String>>, String> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.trim().chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(end), _) if character == end => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (Some('"') | None, '$' | '`') => return Err(format!("'{character}'")),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '&') if characters.next_if_eq(&'&').is_some() => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            (None, '&' | ';' | '|' | '<' | '>' | '(' | ')' | '*' | '?' | '#' | '\n' | '\r') => {
                return Err(format!("{character:?}"));
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("an unterminated quote".to_owned());
    }
    words.extend(word);
    commands.push(words);
    if commands.iter().any(Vec::is_empty) {
        return Err("an empty command".to_owned());
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes_are_parsed() {
        let parsed = parse("a 'b c'\"d\\\"\" '' && e\\ f&&g").unwrap();
        assert_eq!(parsed, [vec!["a", "b cd\"", ""], vec!["e f"], vec!["g"]]);
        for line in ["", "a &&", "a; b", "a & b", "a 'b", "a $(b)", "a \"$b\"", "a\nb"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("a '$b'").is_ok());
    }
}
