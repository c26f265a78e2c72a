//! Foreign text on a line of ours: what could deceive its reader is spelled out, and what is too long is cut.

use std::fmt::Write as _;

/// `text` with control, bidirectional and invisible characters written as `\u{…}`: what stands on one line of ours
/// stays on it and reads as it is. Line breaks are control characters; only this program's own are real ones.
pub fn sanitise(text: &str) -> String {
    fit(text, usize::MAX)
}

/// The same of a text of ours that has several lines: its line breaks stay.
pub fn sanitise_lines(text: &str) -> String {
    text.split('\n').map(sanitise).collect::<Vec<_>>().join("\n")
}

/// Whether nothing in a text would have to be spelled out.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(deceives)
}

/// [`sanitise`]d `text` of at most `max` bytes. What had to be cut ends in `…`; neither a code point nor an escape is
/// ever cut in two.
pub fn fit(text: &str, max: usize) -> String {
    // Most are.
    if text.len() <= max && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().min(max));
    // Where to go back to when it turns out that not everything fits.
    let mut room_for_ellipsis = 0;
    for character in text.chars() {
        if deceives(character) {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
        if out.len() > max {
            out.truncate(room_for_ellipsis);
            if out.len() + ELLIPSIS.len() <= max {
                out.push_str(ELLIPSIS);
            }
            return out;
        }
        if out.len() + ELLIPSIS.len() <= max {
            room_for_ellipsis = out.len();
        }
    }
    out
}

const ELLIPSIS: &str = "…";

/// Control characters, line and paragraph separators, bidirectional controls, and everything that Unicode lets a
/// renderer show as nothing (`Default_Ignorable_Code_Point`).
pub fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn line_breaks_bidi_and_zero_width_characters_are_spelled_out() {
        assert_eq!(sanitise("a\nb\r\u{85}\u{2028}c"), r"a\u{a}b\u{d}\u{85}\u{2028}c");
        assert_eq!(sanitise("app\u{202e}gpj.sh\u{200b}\u{feff}"), r"app\u{202e}gpj.sh\u{200b}\u{feff}");
        assert_eq!(sanitise("\u{1b}[31mred"), r"\u{1b}[31mred");
        assert_eq!(sanitise("grüße, 漢字 🚢 …"), "grüße, 漢字 🚢 …");
    }

    #[test]
    fn a_cut_text_ends_in_an_ellipsis_within_its_length() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abc…");
        assert_eq!(fit("aäöüb", 6), "aä…");
        assert_eq!(fit("aäöüb", 5), "a…");
        assert_eq!(fit("abcdefg", 2), "");
    }

    #[test]
    fn an_escape_is_never_cut_in_two() {
        assert_eq!(fit("ab\u{202e}", 10), r"ab\u{202e}");
        assert_eq!(fit("ab\u{202e}c", 10), "ab…");
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_fits_and_holds_nothing_deceptive(text in any::<String>(), max in 0usize..200) {
            let fitted = fit(&text, max);
            prop_assert!(fitted.len() <= max);
            prop_assert!(!fitted.chars().any(deceives));
        }

        #[test]
        fn what_fits_is_not_cut(text in any::<String>()) {
            let whole = sanitise(&text);
            prop_assert_eq!(fit(&text, whole.len()), whole);
        }
    }
}
