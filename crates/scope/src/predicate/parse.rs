use lexicon::Refusal;

use super::{Literal, Node, Operator, words};
use crate::{calendar, trouble, value};

type Parsed<T> = Result<T, Refusal>;

/// Longer predicates are lists of patients, which belong in a table of the source and an `exists`.
const CHARACTERS_MAX: usize = 16 * 1024;
/// Deeper than a person can check, and far from the end of the stack.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A bare word; a key word unless it stands where a name does.
    Word(String),
    /// A name between quotation marks.
    Quoted(String),
    Text(String),
    Number(String),
    Sign(&'static str),
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
}

pub(super) fn parse(text: &str) -> Parsed<Node> {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() > CHARACTERS_MAX {
        return Err(trouble::predicate_syntax("it is longer than 16,384 characters", CHARACTERS_MAX));
    }
    let mut parser = Parser { tokens: tokens(&characters)?, next: 0, end: characters.len() };
    let node = parser.alternatives(0)?;
    if parser.next < parser.tokens.len() {
        return Err(parser.wrong("and, or, or the end is expected"));
    }
    Ok(node)
}

fn tokens(characters: &[char]) -> Parsed<Vec<(usize, Token)>> {
    let mut out = Vec::new();
    let mut place = 0_usize;
    while let Some(&c) = characters.get(place) {
        let rest = characters.get(place..).unwrap_or_default();
        let (token, length) = match c {
            _ if c.is_whitespace() => {
                place = place.saturating_add(1);
                continue;
            }
            '\'' => {
                let (text, length) = quoted(rest, '\'', place)?;
                (Token::Text(text), length)
            }
            '"' => {
                let (text, length) = quoted(rest, '"', place)?;
                (Token::Quoted(text), length)
            }
            _ if words::is_start(c) => word(rest),
            _ if c.is_ascii_digit() || c == '-' => number(rest, place)?,
            _ => sign(rest).ok_or_else(|| trouble::predicate_syntax("this character has no meaning here", place))?,
        };
        out.push((place, token));
        place = place.saturating_add(length);
    }
    Ok(out)
}

fn quoted(rest: &[char], mark: char, place: usize) -> Parsed<(String, usize)> {
    let mut text = String::new();
    let mut at = 1_usize;
    loop {
        let doubled = rest.get(at.saturating_add(1)) == Some(&mark);
        match rest.get(at) {
            Some('\0') => return Err(trouble::predicate_syntax("a constant cannot hold the character NUL", place)),
            Some(c) if *c == mark && doubled => at = at.saturating_add(1),
            Some(c) if *c == mark => return Ok((text, at.saturating_add(1))),
            Some(_) => {}
            None => return Err(trouble::predicate_syntax("a quotation mark is not closed", place)),
        }
        text.extend(rest.get(at));
        at = at.saturating_add(1);
    }
}

fn word(rest: &[char]) -> (Token, usize) {
    let word: String = rest.iter().take_while(|c| words::is_inner(**c)).collect();
    let length = word.chars().count();
    (Token::Word(word), length)
}

fn number(rest: &[char], place: usize) -> Parsed<(Token, usize)> {
    let number: String = rest
        .iter()
        .enumerate()
        .take_while(|(at, c)| c.is_ascii_digit() || **c == '.' || (*at == 0 && **c == '-'))
        .map(|(_, c)| *c)
        .collect();
    let length = number.len();
    let stuck = rest.get(length).is_some_and(|c| words::is_inner(*c));
    if stuck || value::parse_decimal_free(&number).is_none() {
        return Err(trouble::predicate_syntax("this is not a number", place));
    }
    Ok((Token::Number(number), length))
}

fn sign(rest: &[char]) -> Option<(Token, usize)> {
    let two: String = rest.iter().take(2).collect();
    let known = ["<>", "<=", ">=", "!=", "=", "<", ">", "(", ")", ","];
    let found = known.into_iter().find(|sign| two.starts_with(sign))?;
    Some((Token::Sign(if found == "!=" { "<>" } else { found }), found.len()))
}

impl Parser {
    fn wrong(&self, why: &str) -> Refusal {
        let place = self.tokens.get(self.next).map_or(self.end, |(place, _)| *place);
        trouble::predicate_syntax(why, place)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn step(&mut self) {
        self.next = self.next.saturating_add(1);
    }

    /// Takes the key word when it comes next.
    fn took_word(&mut self, wanted: &str) -> bool {
        let here = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        if here {
            self.step();
        }
        here
    }

    fn took_sign(&mut self, wanted: &str) -> bool {
        let here = matches!(self.peek(), Some(Token::Sign(sign)) if *sign == wanted);
        if here {
            self.step();
        }
        here
    }

    fn sign(&mut self, wanted: &str) -> Parsed<()> {
        if self.took_sign(wanted) { Ok(()) } else { Err(self.wrong(&format!("{wanted} is expected"))) }
    }

    fn alternatives(&mut self, depth: usize) -> Parsed<Node> {
        let mut parts = vec![self.conditions(depth)?];
        while self.took_word("or") {
            parts.push(self.conditions(depth)?);
        }
        Ok(single(parts, Node::Or))
    }

    fn conditions(&mut self, depth: usize) -> Parsed<Node> {
        let mut parts = vec![self.condition(depth)?];
        while self.took_word("and") {
            parts.push(self.condition(depth)?);
        }
        Ok(single(parts, Node::And))
    }

    fn condition(&mut self, depth: usize) -> Parsed<Node> {
        let deeper = depth.saturating_add(1);
        if depth > DEPTH_MAX {
            return Err(self.wrong("it is nested deeper than 32"));
        }
        if self.took_word("not") {
            return Ok(Node::Not(Box::new(self.condition(deeper)?)));
        }
        if self.took_sign("(") {
            let node = self.alternatives(deeper)?;
            self.sign(")")?;
            return Ok(node);
        }
        if self.took_word("exists") {
            return self.exists();
        }
        let column = self.name("a column is expected")?;
        if self.took_word("is") {
            let not = self.took_word("not");
            if !self.took_word("null") {
                return Err(self.wrong("null is expected"));
            }
            return Ok(negated(not, Node::IsNull { column }));
        }
        let not = self.took_word("not");
        if self.took_word("in") {
            let constants = self.list(Self::constant)?;
            return Ok(negated(not, Node::In { column, constants }));
        }
        if not {
            return Err(self.wrong("in is expected"));
        }
        let operator = self.operator()?;
        Ok(Node::Compare { column, operator, constant: self.constant()? })
    }

    fn exists(&mut self) -> Parsed<Node> {
        if !self.took_word("in") {
            return Err(self.wrong("in is expected"));
        }
        let table = self.name("a table is expected")?;
        let pairs = self.list(|parser| {
            let this = parser.name("a column of this table is expected")?;
            parser.sign("=")?;
            Ok((this, parser.name("a column of the other table is expected")?))
        })?;
        Ok(Node::Exists { table, pairs })
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.sign("(")?;
        let mut items = vec![item(self)?];
        while self.took_sign(",") {
            items.push(item(self)?);
        }
        self.sign(")")?;
        Ok(items)
    }

    fn name(&mut self, why: &str) -> Parsed<String> {
        let name = match self.peek() {
            Some(Token::Quoted(name)) if !name.is_empty() => name.clone(),
            Some(Token::Word(word)) if !words::is_reserved(word) => word.clone(),
            Some(Token::Word(_) | Token::Quoted(_) | Token::Text(_) | Token::Number(_) | Token::Sign(_)) | None => {
                return Err(self.wrong(why));
            }
        };
        self.step();
        Ok(name)
    }

    fn operator(&mut self) -> Parsed<Operator> {
        let known = [
            Operator::NotEqual,
            Operator::LessOrEqual,
            Operator::GreaterOrEqual,
            Operator::Equal,
            Operator::Less,
            Operator::Greater,
        ];
        let found = known.into_iter().find(|operator| self.took_sign(operator.sign()));
        found.ok_or_else(|| self.wrong("a comparison is expected"))
    }

    fn constant(&mut self) -> Parsed<Literal> {
        for (word, value) in [("true", true), ("false", false)] {
            if self.took_word(word) {
                return Ok(Literal::Bool(value));
            }
        }
        for word in ["date", "timestamp", "time"] {
            if self.took_word(word) {
                let Some(Token::Text(text)) = self.peek() else { return Err(self.wrong("a text is expected")) };
                let literal = temporal(word, text).ok_or_else(|| self.wrong("this is not such a date or time"))?;
                self.step();
                return Ok(literal);
            }
        }
        let literal = match self.peek() {
            Some(Token::Text(text)) => Literal::Text(text.clone()),
            Some(Token::Number(number)) => literal_number(number).ok_or_else(|| self.wrong("this is not a number"))?,
            Some(Token::Word(_) | Token::Quoted(_) | Token::Sign(_)) | None => {
                return Err(self.wrong("a constant is expected"));
            }
        };
        self.step();
        Ok(literal)
    }
}

fn literal_number(number: &str) -> Option<Literal> {
    let (unscaled, scale) = value::parse_decimal_free(number)?;
    Some(if scale == 0 { Literal::Integer(unscaled) } else { Literal::Decimal { unscaled, scale } })
}

fn temporal(word: &str, text: &str) -> Option<Literal> {
    match word {
        "date" => calendar::parse_date(text).map(Literal::Date),
        "time" => calendar::parse_time(text).map(Literal::Time),
        _ => calendar::parse_timestamp(text)
            .map(Literal::Timestamp)
            .or_else(|| calendar::parse_moment(text).map(Literal::TimestampTz)),
    }
}

fn negated(not: bool, node: Node) -> Node {
    if not { Node::Not(Box::new(node)) } else { node }
}

fn single(mut parts: Vec<Node>, wrap: fn(Vec<Node>) -> Node) -> Node {
    if parts.len() > 1 { wrap(parts) } else { parts.pop().unwrap_or(Node::And(Vec::new())) }
}
