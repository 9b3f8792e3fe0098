//! What a code says to people: the sentence and the remedy that stand beside it in the source.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

/// The words of one code at one place; several where the code chooses between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) sentences: Vec<String>,
    pub(super) remedies: Vec<String>,
}

/// The names of a file that can stand for a text: what they are bound to, and what is handed to a function's arguments.
#[derive(Default)]
pub(super) struct Names {
    bound: Vec<(String, usize, Vec<String>)>,
    functions: Vec<Function>,
    calls: BTreeMap<String, Vec<Vec<Vec<String>>>>,
    codes: BTreeMap<String, u16>,
}

/// A function, or a closure that has a name.
struct Function {
    name: String,
    begins: usize,
    arguments: Vec<String>,
    closure: bool,
}

impl Names {
    pub(super) fn of(stream: &TokenStream) -> Self {
        let mut names = Self::default();
        names.collect(stream);
        names
    }

    /// The number of a constant that is a code.
    pub(super) fn code(&self, name: &str) -> Option<u16> {
        self.codes.get(name).copied()
    }

    fn collect(&mut self, stream: &TokenStream) {
        let tokens: Vec<TokenTree> = stream.clone().into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            let before = tokens.get(..at).unwrap_or_default();
            let after = tokens.get(at.saturating_add(1)..).unwrap_or_default();
            match token {
                TokenTree::Ident(ident) => self.name(&ident.to_string(), before, after),
                TokenTree::Group(group) => self.collect(&group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    fn name(&mut self, name: &str, before: &[TokenTree], after: &[TokenTree]) {
        match (name, after) {
            ("let", [TokenTree::Ident(mutable), TokenTree::Ident(bound), rest @ ..]) if mutable == "mut" => {
                self.bound.push((bound.to_string(), bound.span().start().line, literals(until(rest, ';'))));
            }
            ("let", [TokenTree::Ident(bound), rest @ ..]) => {
                if let [equals, bar, closure @ ..] = rest
                    && is(equals, '=')
                    && is(bar, '|')
                {
                    self.function(bound, until(closure, '|'), true);
                } else {
                    self.bound.push((bound.to_string(), bound.span().start().line, literals(until(rest, ';'))));
                }
            }
            ("const", [TokenTree::Ident(constant), rest @ ..]) => {
                if let [.., TokenTree::Ident(code), TokenTree::Group(number)] = until(rest, ';')
                    && code == "Code"
                    && let Ok(number) = number.stream().to_string().parse()
                {
                    self.codes.insert(constant.to_string(), number);
                }
            }
            ("fn", [TokenTree::Ident(function), rest @ ..]) => {
                let group = rest.iter().find_map(parenthesis);
                let tokens: Vec<TokenTree> = group.into_iter().flatten().collect();
                self.function(function, &tokens, false);
            }
            (_, [group, ..]) if !matches!(before, [.., TokenTree::Ident(word)] if word == "fn") => {
                let Some(stream) = parenthesis(group) else { return };
                let tokens: Vec<TokenTree> = stream.into_iter().collect();
                let call = arguments(&tokens).into_iter().map(literals).collect();
                self.calls.entry(name.to_owned()).or_default().push(call);
            }
            _ => {}
        }
    }

    fn function(&mut self, name: &Ident, tokens: &[TokenTree], closure: bool) {
        let first = |part: &[TokenTree]| part.first().map(ToString::to_string).unwrap_or_default();
        let arguments = arguments(tokens).into_iter().map(first).collect();
        let (name, begins) = (name.to_string(), name.span().start().line);
        self.functions.push(Function { name, begins, arguments, closure });
    }

    /// Every text that an argument on this line can be.
    pub(super) fn texts(&self, argument: &[TokenTree], line: usize) -> Vec<String> {
        let own = literals(argument);
        if !own.is_empty() {
            return own;
        }
        let around = || self.functions.iter().rev().filter(|function| function.begins <= line);
        let begins = around().find(|function| !function.closure).map_or(0, |function| function.begins);
        for ident in argument.iter().filter(|token| matches!(token, TokenTree::Ident(_))).map(ToString::to_string) {
            let bound = self.bound.iter().rev().find(|(name, at, _)| *name == ident && (begins..=line).contains(at));
            if let Some((_, _, texts)) = bound.filter(|(_, _, texts)| !texts.is_empty()) {
                return texts.clone();
            }
            let handed = around().take_while(|function| function.begins >= begins).find_map(|function| {
                Some((&function.name, function.arguments.iter().position(|argument| *argument == ident)?))
            });
            if let Some((name, place)) = handed {
                let calls = self.calls.get(name).into_iter().flatten();
                return calls.filter_map(|call| call.get(place)).flatten().cloned().collect();
            }
        }
        Vec::new()
    }
}

fn parenthesis(token: &TokenTree) -> Option<TokenStream> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group.stream()),
        TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    }
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn until(tokens: &[TokenTree], mark: char) -> &[TokenTree] {
    tokens.split(|token| is(token, mark)).next().unwrap_or_default()
}

/// The arguments of a call.
pub(super) fn arguments(tokens: &[TokenTree]) -> Vec<&[TokenTree]> {
    tokens.split(|token| is(token, ',')).collect()
}

/// The texts in an expression that say something; of a `format!` its pattern only.
fn literals(tokens: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Literal(literal) => found.extend(text(&literal.to_string())),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let before = tokens.get(..at).unwrap_or_default();
                let formats =
                    matches!(before, [.., TokenTree::Ident(format), mark] if format == "format" && is(mark, '!'));
                found.extend(literals(&inner).into_iter().take(if formats { 1 } else { usize::MAX }));
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
    found
}

/// What a string says: line breaks of the source joined, and an ellipsis for what is put in when it is said.
pub(super) fn text(literal: &str) -> Option<String> {
    let quoted = literal.strip_prefix('"')?.strip_suffix('"')?;
    let (mut said, mut depth) = (String::new(), 0_u32);
    let mut letters = quoted.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('\n') => while letters.next_if(|next| next.is_whitespace()).is_some() {},
                Some('n' | 't') => said.push(' '),
                Some(other) => said.push(other),
                None => {}
            },
            '{' if letters.next_if_eq(&'{').is_some() => said.push('{'),
            '}' if letters.next_if_eq(&'}').is_some() => said.push('}'),
            '{' => depth = depth.saturating_add(1),
            '}' => {
                depth = depth.saturating_sub(1);
                said.push('…');
            }
            _ if depth > 0 => {}
            _ => said.push(letter),
        }
    }
    said.chars().any(char::is_alphabetic).then(|| said.trim().to_owned())
}
