//! Fields, components and escapes (HL7 v2.5.1 chapter 2.7), with the recommended delimiters `|^~\&`.

/// A text as the content of a field: delimiters escaped, line ends as `\.br\`, other controls left out.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '|' => out.push_str("\\F\\"),
            '^' => out.push_str("\\S\\"),
            '&' => out.push_str("\\T\\"),
            '~' => out.push_str("\\R\\"),
            '\\' => out.push_str("\\E\\"),
            '\r' => {
                let _ = characters.next_if_eq(&'\n');
                out.push_str("\\.br\\");
            }
            '\n' => out.push_str("\\.br\\"),
            control if control.is_control() => {}
            plain => out.push(plain),
        }
    }
    out
}

/// Components of a field, each escaped, without empty ones at the end.
pub(super) fn components(parts: &[&str]) -> String {
    let field = parts.iter().map(|part| escaped(part)).collect::<Vec<_>>().join("^");
    field.trim_end_matches('^').to_owned()
}

/// A person name of DICOM (PS3.5 6.2, VR PN) as XPN: suffix before prefix. The first component group that says
/// something counts, the alphabetic one where there is one.
pub(super) fn person(name: &str) -> String {
    let group = name.split('=').find(|group| group.chars().any(|c| c != '^' && !c.is_whitespace())).unwrap_or_default();
    let mut parts = group.split('^').map(str::trim);
    let mut next = || parts.next().unwrap_or_default();
    let (family, given, middle, prefix, suffix) = (next(), next(), next(), next(), next());
    components(&[family, given, middle, suffix, prefix])
}

/// A segment from its name and its fields by number, the others empty.
pub(super) fn segment(name: &str, fields: &[(usize, String)]) -> String {
    let last = fields.iter().filter(|(_, value)| !value.is_empty()).map(|(number, _)| *number).max().unwrap_or(0);
    let mut segment = name.to_owned();
    for number in 1..=last {
        segment.push('|');
        let value = fields.iter().find(|(at, _)| *at == number);
        segment.push_str(value.map_or("", |(_, value)| value));
    }
    segment.push('\r');
    segment
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delimiters_and_line_ends_are_escaped() {
        assert_eq!(escaped("a|b^c&d~e\\f\r\ng\nh\u{7}"), "a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f\\.br\\g\\.br\\h");
    }

    #[test]
    fn names_keep_their_parts() {
        assert_eq!(person("Doe^Jane^M^Dr^MD"), "Doe^Jane^M^MD^Dr");
        assert_eq!(person("Doe"), "Doe");
        assert_eq!(person("=\u{5c71}\u{7530}^\u{592a}\u{90ce}"), "\u{5c71}\u{7530}^\u{592a}\u{90ce}");
        assert_eq!(person("^^^="), "");
    }

    #[test]
    fn a_segment_ends_with_its_last_value() {
        assert_eq!(segment("OBR", &[(1, "1".into()), (4, "x".into()), (7, String::new())]), "OBR|1|||x\r");
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_field(text in "\\PC{0,20}|[|^~\\\\&\r\n\u{0}-\u{1f}]{0,8}") {
            let field = escaped(&text);
            prop_assert!(!field.contains(['|', '^', '~', '&', '\r', '\n', '\u{b}', '\u{1c}']), "{field}");
        }
    }
}
