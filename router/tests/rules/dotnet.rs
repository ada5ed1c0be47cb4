//! System.Uri and UriBuilder of .NET 10, as recorded in `dotnet.tsv`.

use crate::judge::{is_same, taken_apart};

#[test]
fn characters_at_the_borders_are_as_dotnet_10_has_them() {
    let recorded = include_str!("dotnet.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in recorded {
        let (via, judged) = line.split_once('\t').expect("two columns");
        let ours = taken_apart(&with_characters(via));
        assert!(is_same(&ours, judged), "{via}\n   ours   {ours}\n   judged {judged}");
        count += 1;
    }
    assert!(count > 600, "{count}");
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
