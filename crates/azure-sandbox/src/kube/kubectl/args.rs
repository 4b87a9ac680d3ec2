//! The flags of the supported commands.

use super::Failure;

/// Flags whose value is parsed and ignored.
const IGNORED_FLAGS: [&str; 4] = ["--timeout", "--grace-period", "--request-timeout", "--cascade"];

#[derive(Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub(super) struct Args {
    pub(super) positional: Vec<String>,
    pub(super) files: Vec<String>,
    pub(super) namespace: Option<String>,
    pub(super) all_namespaces: bool,
    pub(super) field_manager: Option<String>,
    pub(super) output: Option<String>,
    pub(super) selector: Option<String>,
    pub(super) server_side: bool,
    pub(super) force_conflicts: bool,
    pub(super) ignore_not_found: bool,
}

impl Args {
    /// The namespace of the objects; empty for all namespaces.
    pub(super) fn namespace(&self) -> &str {
        if self.all_namespaces { "" } else { self.namespace.as_deref().unwrap_or("default") }
    }

    pub(super) fn parse(words: &[&str]) -> Result<Self, Failure> {
        let mut args = Self::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            if !word.starts_with('-') || word == "-" {
                args.positional.push(word.to_owned());
                continue;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let is_set = !matches!(value, Some("false" | "0"));
            match name {
                "--server-side" => args.server_side = is_set,
                "--force-conflicts" => args.force_conflicts = is_set,
                "--ignore-not-found" => args.ignore_not_found = is_set,
                "-A" | "--all-namespaces" => args.all_namespaces = is_set,
                "--wait" | "--now" | "--no-headers" => {}
                _ => {
                    let value = value.or_else(|| words.next());
                    let value =
                        value.ok_or_else(|| Failure::error(format!("flag needs an argument: {name}")))?;
                    args.set(name, value)?;
                }
            }
        }
        Ok(args)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            "-f" | "--filename" => self.files.extend(value.split(',').map(str::to_owned)),
            "-n" | "--namespace" => self.namespace = Some(value.to_owned()),
            "-o" | "--output" => self.output = Some(value.to_owned()),
            "-l" | "--selector" => self.selector = Some(value.to_owned()),
            "--field-manager" => self.field_manager = Some(value.to_owned()),
            ignored if IGNORED_FLAGS.contains(&ignored) => {}
            unknown => return Err(Failure::error(format!("unknown flag: {unknown}"))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_values_follow_a_space_or_equals_sign() {
        let parse = |line: &str| Args::parse(&line.split(' ').collect::<Vec<_>>()).ok();
        let args =
            parse("-f a.yaml,b.yaml --filename=c.yaml -n x --wait=false --ignore-not-found pods/y").unwrap();
        assert_eq!(args.files, ["a.yaml", "b.yaml", "c.yaml"]);
        assert_eq!(args.positional, ["pods/y"]);
        assert!(args.namespace.as_deref() == Some("x") && args.ignore_not_found && !args.server_side);
        assert!(parse("--ignore-not-found=false").is_some_and(|args| !args.ignore_not_found));
        assert!(parse("-f").is_none() && parse("--other x").is_none());
    }
}
