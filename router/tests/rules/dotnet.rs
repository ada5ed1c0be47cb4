//! System.Uri and UriBuilder of .NET 10 and of Mono, as recorded in `dotnet.tsv` and `mono.tsv`.

use crate::judge::{is_same, taken_apart};

#[test]
fn characters_at_the_borders_are_as_dotnet_10_has_them() {
    assert!(compare(include_str!("dotnet.tsv")) > 600);
}

#[test]
fn vias_that_tell_parsers_apart_are_as_mono_has_them() {
    assert!(compare(include_str!("mono.tsv")) > 100);
}

/// How many were compared.
fn compare(recorded: &str) -> usize {
    let mut count = 0;
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let (via, judged) = line.split_once('\t').expect("two columns");
        let ours = taken_apart(&with_characters(via));
        assert!(is_same(&ours, judged), "{via}\n   ours   {ours}\n   judged {judged}");
        count += 1;
    }
    count
}

/// Each `\u{…}` as its character.
fn with_characters(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let mut out = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let (digits, rest) = part.split_once('}').expect("a brace at the end");
        out.push(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).expect("a character"));
        out += rest;
    }
    out
}
