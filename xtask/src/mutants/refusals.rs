//! The refusals of the procedure, read from its source: each condition of each refusal is taken away alone. What is
//! written there tomorrow has its mutant tomorrow, and must have a test that goes red.
//!
//! | in the source | becomes |
//! |---|---|
//! | `hold(a && b, CODE, ..)` | `hold((true \|\| (a)) && b, CODE, ..)`, and the same for `b` |
//! | `if a \|\| b { return Err(..CODE..) }` | `if (false && (a)) \|\| b { .. }`, and the same for `b` |
//! | `[(a && b, ".."), ..]` before an error | as for `hold`, for every line of the list |
//! | any other `Err(..CODE..)` | `Ok(())` |
//! | `ok_or_else(\|\| refuse(CODE, ..))` | `refuse(0, ..)`: without a value there is nothing to go on with |
//!
//! A condition that is a name is what its `let` says; `is_some_and(\|x\| a && b)` is `a` and `b`. What a function of another
//! place decides is one condition.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One condition of one refusal, and how it is taken away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    /// What the person reads.
    pub(super) sentence: String,
    /// The function that refuses.
    pub(super) place: String,
    /// The bytes of the file that are replaced.
    pub(super) at: Range<usize>,
    pub(super) replacement: String,
}

/// Names that stand for a code, with what they say.
type Named = BTreeMap<String, (u16, Option<String>)>;

/// The procedure's hundred.
const CODES: Range<u16> = 200..300;

/// Every refusal in the text of one file, in its order.
pub(super) fn read(file: &Path, text: &str) -> Result<Vec<Refusal>> {
    let tokens: TokenStream = text.parse().map_err(|error| anyhow!("{} is not Rust: {error}", file.display()))?;
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut named = Named::new();
    names(&tokens, &mut named);
    let place = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut walk = Walk { text, named, place, lets: BTreeMap::new(), found: Vec::new() };
    walk.level(&tokens);
    Ok(walk.found)
}

/// Every number of the procedure's hundred that stands in the text, whatever it stands for.
#[cfg(test)]
pub(super) fn codes(text: &str) -> Vec<u16> {
    fn all(tokens: TokenStream, found: &mut Vec<u16>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => all(group.stream(), found),
                TokenTree::Literal(_) => found.extend(number(&token)),
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
    let mut found = Vec::new();
    all(text.parse().unwrap(), &mut found);
    found
}

fn number(token: &TokenTree) -> Option<u16> {
    let TokenTree::Literal(literal) = token else { return None };
    literal.to_string().parse().ok().filter(|number| CODES.contains(number))
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn text_of(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    Some(literal.to_string().strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

/// `let wrong = |..| ..Code(203)..;` and `const STALE: Code = Code(273);`: names that stand for a code.
fn names(tokens: &[TokenTree], named: &mut Named) {
    for (at, token) in tokens.iter().enumerate() {
        let after = tokens.get(at.saturating_add(1)..).unwrap_or_default();
        match (token, after) {
            (TokenTree::Ident(kind), [TokenTree::Ident(name), between, value @ ..])
                if (kind == "const" && is_mark(between, ':'))
                    || (kind == "let" && is_mark(between, '=') && value.first().is_some_and(|it| is_mark(it, '|'))) =>
            {
                let end = value.iter().position(|token| is_mark(token, ';')).unwrap_or(value.len());
                let value = value.get(..end).unwrap_or_default();
                if let Some(code) = code(value, &Named::new()) {
                    named.insert(name.to_string(), (code, sentence(value, &Named::new())));
                }
            }
            (TokenTree::Group(group), _) => names(&group.stream().into_iter().collect::<Vec<_>>(), named),
            _ => {}
        }
    }
}

/// The first code that these tokens give out.
fn code(tokens: &[TokenTree], named: &Named) -> Option<u16> {
    tokens.iter().find_map(|token| match token {
        TokenTree::Group(group) => code(&group.stream().into_iter().collect::<Vec<_>>(), named),
        TokenTree::Ident(ident) => named.get(&ident.to_string()).map(|(code, _)| *code),
        TokenTree::Literal(_) | TokenTree::Punct(_) => number(token),
    })
}

/// The first text in these tokens, or of the name that stands for one.
fn sentence(tokens: &[TokenTree], named: &Named) -> Option<String> {
    let said = tokens.iter().find_map(|token| match token {
        TokenTree::Group(group) => sentence(&group.stream().into_iter().collect::<Vec<_>>(), &Named::new()),
        TokenTree::Literal(_) | TokenTree::Ident(_) | TokenTree::Punct(_) => text_of(token),
    });
    let of_name = |token: &TokenTree| named.get(&token.to_string()).and_then(|(_, said)| said.clone());
    said.or_else(|| tokens.iter().find_map(of_name))
}

/// The parts of a list, between its commas.
fn listed(group: &Group) -> Vec<Vec<TokenTree>> {
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    tokens.split(|token| is_mark(token, ',')).map(<[_]>::to_vec).filter(|part| !part.is_empty()).collect()
}

/// `a && b` is two conditions, if nothing but `mark` binds them; a closure's bars bind nothing.
fn parts(condition: &[TokenTree], mark: char) -> Vec<&[TokenTree]> {
    let other = if mark == '&' { '|' } else { '&' };
    let doubled = |at: usize, mark| {
        condition.get(at..at.saturating_add(2)).is_some_and(|pair| pair.iter().all(|token| is_mark(token, mark)))
    };
    if (0..condition.len()).any(|at| doubled(at, other)) {
        return vec![condition];
    }
    let (mut found, mut from, mut at) = (Vec::new(), 0, 0);
    while at < condition.len() {
        if doubled(at, mark) {
            found.push(condition.get(from..at).unwrap_or_default());
            from = at.saturating_add(2);
            at = from;
        } else {
            at = at.saturating_add(1);
        }
    }
    found.push(condition.get(from..).unwrap_or_default());
    found
}

/// What `condition` holds by: the parts of `a && b`, and of a closure at the end of a part that holds by several.
fn holds_by(condition: &[TokenTree]) -> Vec<Vec<TokenTree>> {
    parts(condition, '&').into_iter().flat_map(|part| within(part).unwrap_or_else(|| vec![part.to_vec()])).collect()
}

/// The conditions of `x.is_some_and(|y| a && b)`; none if there is only one.
fn within(part: &[TokenTree]) -> Option<Vec<Vec<TokenTree>>> {
    let [.., method, TokenTree::Group(closure)] = part else { return None };
    let inner: Vec<TokenTree> = closure.stream().into_iter().collect();
    let [bar, after @ ..] = inner.as_slice() else { return None };
    let end = after.iter().position(|token| is_mark(token, '|'))?;
    let body = match after.get(end.saturating_add(1)..)? {
        [TokenTree::Group(block)] => block.stream().into_iter().collect(),
        bare => bare.to_vec(),
    };
    let body = parts(&body, '&');
    let several = is_word(method, "is_some_and") && is_mark(bar, '|') && body.len() > 1;
    several.then(|| body.into_iter().map(<[_]>::to_vec).collect())
}

fn span(tokens: &[TokenTree]) -> Range<usize> {
    let start = tokens.first().map_or(0, |token| token.span().byte_range().start);
    start..tokens.last().map_or(start, |token| token.span().byte_range().end)
}

struct Walk<'a> {
    text: &'a str,
    named: Named,
    place: String,
    /// What the names of this function stand for.
    lets: BTreeMap<String, Vec<TokenTree>>,
    found: Vec<Refusal>,
}

impl Walk<'_> {
    fn level(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while let Some(rest) = tokens.get(at..).filter(|rest| !rest.is_empty()) {
            let before = at.checked_sub(1).and_then(|before| tokens.get(before));
            at = at.saturating_add(self.step(before, rest).max(1));
        }
    }

    /// Looks at what begins here; says how many tokens that were.
    fn step(&mut self, before: Option<&TokenTree>, rest: &[TokenTree]) -> usize {
        match rest {
            [word, TokenTree::Ident(name), ..] if is_word(word, "fn") => {
                self.place = name.to_string();
                self.lets.clear();
                2
            }
            [word, TokenTree::Ident(name), equals, value @ ..] if is_word(word, "let") && is_mark(equals, '=') => {
                let end = value.iter().position(|token| is_mark(token, ';')).unwrap_or(value.len());
                self.lets.insert(name.to_string(), value.get(..end).unwrap_or_default().to_vec());
                3
            }
            [word, TokenTree::Group(group), ..] if is_word(word, "hold") => {
                self.held(&listed(group));
                2
            }
            [word, ..] if is_word(word, "if") && !before.is_some_and(|it| is_word(it, "else")) => self.branch(rest),
            [word, TokenTree::Group(group), ..] if is_word(word, "Err") => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                if let Some(code) = code(&inner, &self.named) {
                    let at = span(rest.get(..2).unwrap_or_default());
                    self.keep(code, sentence(&inner, &self.named), at, "Ok(())".to_owned());
                }
                2
            }
            [word, TokenTree::Group(group), ..] if is_word(word, "refuse") => {
                if let [number, said, ..] = listed(group).as_slice()
                    && let Some(code) = code(number, &self.named)
                {
                    self.keep(code, sentence(said, &self.named), span(number), "0".to_owned());
                }
                2
            }
            [TokenTree::Group(group), after @ ..] => {
                match code(after, &self.named) {
                    Some(code) if group.delimiter() == Delimiter::Bracket => self.list(code, &listed(group)),
                    _ => self.level(&group.stream().into_iter().collect::<Vec<_>>()),
                }
                1
            }
            _ => 1,
        }
    }

    fn held(&mut self, arguments: &[Vec<TokenTree>]) {
        if let [condition, number, said, ..] = arguments
            && let Some(code) = code(number, &self.named)
        {
            self.conditions(code, sentence(said, &self.named).as_deref(), condition, '&');
        }
    }

    /// `if condition { return Err(..) }` is one refusal; of any other the condition and the branch are looked into.
    fn branch(&mut self, rest: &[TokenTree]) -> usize {
        let is_body = |token: &TokenTree| matches!(token, TokenTree::Group(it) if it.delimiter() == Delimiter::Brace);
        let Some(end) = rest.iter().position(is_body) else { return 1 };
        let Some(TokenTree::Group(body)) = rest.get(end) else { return 1 };
        let body: Vec<TokenTree> = body.stream().into_iter().collect();
        match (rest.get(1..end), body.as_slice()) {
            (Some(condition), [returns, error, TokenTree::Group(refusal), _])
                if is_word(returns, "return") && is_word(error, "Err") =>
            {
                let refusal: Vec<TokenTree> = refusal.stream().into_iter().collect();
                if let Some(code) = code(&refusal, &self.named) {
                    self.conditions(code, sentence(&refusal, &self.named).as_deref(), condition, '|');
                }
                end.saturating_add(1)
            }
            _ => 1,
        }
    }

    /// A list of conditions, each with what is said when it does not hold.
    fn list(&mut self, code: u16, lines: &[Vec<TokenTree>]) {
        for line in lines {
            let [TokenTree::Group(line)] = line.as_slice() else { continue };
            let (said, conditions): (Vec<_>, Vec<_>) =
                listed(line).into_iter().partition(|part| matches!(part.as_slice(), [TokenTree::Literal(_)]));
            if let ([said, ..], [condition]) = (said.as_slice(), conditions.as_slice()) {
                self.conditions(code, sentence(said, &self.named).as_deref(), condition, '&');
            }
        }
    }

    fn conditions(&mut self, code: u16, said: Option<&str>, condition: &[TokenTree], mark: char) {
        for part in parts(condition, mark) {
            let name = match part {
                [not, TokenTree::Ident(name)] if mark == '|' && is_mark(not, '!') => Some(name),
                [TokenTree::Ident(name)] if mark == '&' => Some(name),
                _ => None,
            };
            let named = name.and_then(|name| self.lets.get(&name.to_string()));
            let held =
                if mark == '&' || named.is_some() { holds_by(named.map_or(part, Vec::as_slice)) } else { Vec::new() };
            match held.as_slice() {
                [] | [_] => self.without(code, said, part, if mark == '&' { "true ||" } else { "false &&" }),
                several => several.iter().for_each(|part| self.without(code, said, part, "true ||")),
            }
        }
    }

    fn without(&mut self, code: u16, said: Option<&str>, condition: &[TokenTree], instead: &str) {
        let at = span(condition);
        let was = self.text.get(at.clone()).unwrap_or_default();
        self.keep(code, said.map(str::to_owned), at, format!("({instead} ({was}))"));
    }

    fn keep(&mut self, code: u16, said: Option<String>, at: Range<usize>, replacement: String) {
        let (sentence, place) = (said.unwrap_or_default(), self.place.clone());
        self.found.push(Refusal { code, sentence, place, at, replacement });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with each refusal taken away in turn, and its code.
    fn taken_away(text: &str) -> Vec<(u16, String)> {
        let without = |refusal: Refusal| {
            let (before, after) = (&text[..refusal.at.start], &text[refusal.at.end..]);
            (refusal.code, format!("{before}{}{after}", refusal.replacement))
        };
        read(Path::new("decide.rs"), text).unwrap().into_iter().map(without).collect()
    }

    #[test]
    fn each_condition_of_a_refusal_is_taken_away_alone() {
        for (text, expected) in [
            ("hold(a == b, 231, \"é\", \"\")", vec!["hold((true || (a == b)), 231, \"é\", \"\")"]),
            (
                "hold(a && b.all(|c| c || d), 231, \"\", \"\")",
                vec![
                    "hold((true || (a)) && b.all(|c| c || d), 231, \"\", \"\")",
                    "hold(a && (true || (b.all(|c| c || d))), 231, \"\", \"\")",
                ],
            ),
            ("hold(a && b || c, 231, \"\", \"\")", vec!["hold((true || (a && b || c)), 231, \"\", \"\")"]),
            (
                "if a || b { return Err(refuse(231, \"\", \"\")); }",
                vec![
                    "if (false && (a)) || b { return Err(refuse(231, \"\", \"\")); }",
                    "if a || (false && (b)) { return Err(refuse(231, \"\", \"\")); }",
                ],
            ),
            (
                "let Some(a) = b else { return Err(refuse(231, \"\", \"\")) };",
                vec!["let Some(a) = b else { return Ok(()) };"],
            ),
            ("a.ok_or_else(|| refuse(231, \"\", \"\"))", vec!["a.ok_or_else(|| refuse(0, \"\", \"\"))"]),
            (
                "let c = [(a, \"one\"), (b, \"two\")]; if c { Ok(()) } else { Err(R::new(Code(231), \"\")) }",
                vec![
                    "let c = [((true || (a)), \"one\"), (b, \"two\")]; if c { Ok(()) } else { Err(R::new(Code(231), \"\")) }",
                    "let c = [(a, \"one\"), ((true || (b)), \"two\")]; if c { Ok(()) } else { Err(R::new(Code(231), \"\")) }",
                    "let c = [(a, \"one\"), (b, \"two\")]; if c { Ok(()) } else { Ok(()) }",
                ],
            ),
            (
                "fn f() { let c = a.is_some_and(|it| it.b || d); hold(c && e.is_some_and(|it| it.b && d), 231, \"\", \"\") }",
                vec![
                    "fn f() { let c = a.is_some_and(|it| it.b || d); hold((true || (c)) && e.is_some_and(|it| it.b && d), 231, \"\", \"\") }",
                    "fn f() { let c = a.is_some_and(|it| it.b || d); hold(c && e.is_some_and(|it| (true || (it.b)) && d), 231, \"\", \"\") }",
                    "fn f() { let c = a.is_some_and(|it| it.b || d); hold(c && e.is_some_and(|it| it.b && (true || (d))), 231, \"\", \"\") }",
                ],
            ),
            (
                "fn f() { let c = a && b; if !c { return Err(refuse(231, \"\", \"\")); } }",
                vec![
                    "fn f() { let c = (true || (a)) && b; if !c { return Err(refuse(231, \"\", \"\")); } }",
                    "fn f() { let c = a && (true || (b)); if !c { return Err(refuse(231, \"\", \"\")); } }",
                ],
            ),
            (
                "const OLD: Code = Code(231); fn f() { if a { return Err(Refusal::new(OLD, b).into()); } }",
                vec![
                    "const OLD: Code = Code(231); fn f() { if (false && (a)) { return Err(Refusal::new(OLD, b).into()); } }",
                ],
            ),
            (
                "fn f() { let wrong = |b: &str| { R::new(Code(231), b) }; if a { return Err(wrong(b)); } }",
                vec![
                    "fn f() { let wrong = |b: &str| { R::new(Code(231), b) }; if (false && (a)) { return Err(wrong(b)); } }",
                ],
            ),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|text| (231, text.to_owned())).collect();
            assert_eq!(taken_away(text), expected, "{text}");
        }
    }

    #[test]
    fn a_refusal_is_known_by_its_words_and_the_function_that_makes_it() {
        let text = "fn open(m: &M) -> Check { hold(m.a, 231, \"one at a time\", \"Wait.\") }";
        let found = read(Path::new("decide/round.rs"), text).unwrap();
        let [refusal] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((refusal.place.as_str(), refusal.sentence.as_str()), ("open", "one at a time"));
    }

    #[test]
    fn what_refuses_in_the_procedures_name_only_is_no_refusal() {
        let text = "fn hold(c: bool, code: u16) -> Check { if c { Ok(()) } else { Err(refuse(code, \"\", \"\")) } }";
        assert_eq!(taken_away(text), []);
        assert_eq!(codes("hold(a, 231); x == Code(12); 1_000; \"240\""), [231]);
    }
}
