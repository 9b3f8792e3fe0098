//! Rules about the text of our Rust files. It is read as tokens by `proc-macro2`, the lexer under the compiler's own
//! plug-ins: comments and strings, however they are quoted or nested, are then no names, and a brace in a string closes
//! no function. A parser (`syn`) would see no more of what is asked here, and nothing inside macros.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

use super::Finding;
use super::codes::GivenCode;
use super::said::{self, Names, Said};

/// A file that needs more is two files.
const FILE_LINES_MAX: usize = 500;
/// A function that needs more is two functions.
const FUNCTION_LINES_MAX: usize = 70;
/// Functions that another's trait names: Parquet's `ChunkReader`.
const TRAITS_OF_OTHERS: [&str; 2] = ["get_read", "get_bytes"];

/// Words that say nothing about this house; the glossary has better ones.
const BANNED: [&str; 7] = ["common", "helper", "job", "manager", "task", "transfer", "util"];

/// Everything that breaks a rule in the Rust files below these folders, and the codes that they give out.
pub(super) fn pages(root: &Path, folders: &[&str]) -> Result<(Vec<Finding>, Vec<GivenCode>)> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let (mut found, mut codes, mut test_modules) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file);
        match read(name, &text) {
            Ok(page) => {
                found.extend(page.found);
                codes.extend(page.codes);
                test_modules.extend(page.test_modules);
            }
            Err(error) => found.push(Finding::new(name, 1, error.to_string())),
        }
    }
    codes.retain(|code| !test_modules.iter().any(|module| code.file.with_extension("").starts_with(module)));
    Ok((found, codes))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// What one file holds: its findings, the codes that it gives out, and the modules that it has for its tests only.
#[derive(Default)]
pub(super) struct Page {
    found: Vec<Finding>,
    pub(super) codes: Vec<GivenCode>,
    test_modules: Vec<PathBuf>,
}

pub(super) fn read(file: &Path, text: &str) -> Result<Page> {
    let mut page = Page::default();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        let sentence = format!("{lines} lines are more than {FILE_LINES_MAX}; part the file by meaning");
        page.found.push(Finding::new(file, FILE_LINES_MAX.saturating_add(1), sentence));
    }
    for part in file.with_extension("").components() {
        let part = part.as_os_str().to_string_lossy();
        if let Some(word) = banned(&part) {
            page.found.push(Finding::new(file, 1, format!("`{part}` in the path holds `{word}`; {BETTER}")));
        }
    }
    let tokens: TokenStream = text.parse().map_err(|error| anyhow!("this is not Rust: {error}"))?;
    let mut imported = BTreeSet::new();
    walk_imports(&tokens, false, &mut imported);
    let in_tests = file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "examples")
        || file.ends_with("tests.rs");
    let names = Names::of(&tokens);
    Walk { file, imported, names, page: &mut page }.tokens(tokens, in_tests, None);
    Ok(page)
}

const BETTER: &str = "say what it is with a word of the glossary";

/// The banned word in a name, in the singular.
fn banned(name: &str) -> Option<&'static str> {
    let words = words(name);
    let is = |word: &String, banned: &str| word == banned || word.strip_suffix('s') == Some(banned);
    BANNED.into_iter().find(|banned| words.iter().any(|word| is(word, banned)))
}

/// `JobQueue`, `job_queue` and `job-queue` are `job` and `queue`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && !before.is_uppercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words
}

/// The names that a file takes from elsewhere: they are not ours to choose. (Where they are ours, they are found at
/// home.)
fn walk_imports(tokens: &TokenStream, mut in_use: bool, imported: &mut BTreeSet<String>) {
    let whole = in_use;
    let mut tokens = tokens.clone().into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "use" => {
                // `impl Trait + use<'a>` takes nothing from anywhere.
                in_use = !matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '<');
            }
            TokenTree::Ident(ident) if in_use => drop(imported.insert(ident.to_string())),
            TokenTree::Punct(punct) if punct.as_char() == ';' => in_use = whole,
            TokenTree::Group(group) => walk_imports(&group.stream(), in_use, imported),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

struct Walk<'a> {
    file: &'a Path,
    imported: BTreeSet<String>,
    names: Names,
    page: &'a mut Page,
}

impl Walk<'_> {
    /// Looks at one level of tokens and everything below it. `family` is the kind of trouble that is being made here.
    fn tokens(&mut self, stream: TokenStream, in_tests: bool, family: Option<&str>) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut of_tests = false;
        for (at, token) in tokens.iter().enumerate() {
            let before = tokens.get(..at).unwrap_or_default();
            let after = tokens.get(at.saturating_add(1)..).unwrap_or_default();
            match token {
                TokenTree::Ident(ident) => {
                    let (name, line) = (ident.to_string(), ident.span().start().line);
                    self.name(&name, line, before);
                    match (name.as_str(), after) {
                        ("fn", [TokenTree::Ident(function), ..]) => self.function(&function.to_string(), line, after),
                        ("Code", [TokenTree::Group(number), words @ ..]) if !in_tests && !is_compared(before) => {
                            let number = number.stream().to_string().replace('_', "").parse();
                            if let Ok(number) = number {
                                self.code(number, line, family, words);
                            }
                        }
                        // What `procedure` makes its refusals with.
                        ("hold" | "refuse", [TokenTree::Group(group), ..]) if !in_tests => self.held(group),
                        (_, words) if !in_tests && before.is_empty() && family.is_some() => {
                            let number = self.names.code(&name);
                            if let Some(number) = number {
                                self.code(number, line, family, words);
                            }
                        }
                        ("mod", [TokenTree::Ident(module), TokenTree::Punct(_), ..]) if of_tests => {
                            self.test_module(&module.to_string());
                        }
                        _ => {}
                    }
                }
                TokenTree::Group(group) => {
                    if matches!(before, [.., TokenTree::Punct(hash)] if hash.as_char() == '#') {
                        of_tests |= group.stream().to_string() == "cfg (test)";
                    }
                    let is_body = group.delimiter() == Delimiter::Brace;
                    self.tokens(group.stream(), in_tests || (of_tests && is_body), trouble_made(before).as_deref());
                    of_tests &= !is_body;
                }
                TokenTree::Punct(punct) => of_tests &= punct.as_char() != ';',
                TokenTree::Literal(literal) if !in_tests => {
                    self.spelled(&literal.to_string(), literal.span().start().line);
                }
                TokenTree::Literal(_) => {}
            }
        }
    }

    fn name(&mut self, name: &str, line: usize, before: &[TokenTree]) {
        // What follows `::` or `.` was named elsewhere: by others, or by us, where it is found.
        let elsewhere = match before {
            [.., TokenTree::Punct(first), TokenTree::Punct(second)]
                if first.as_char() == ':' && first.spacing() == Spacing::Joint && second.as_char() == ':' =>
            {
                true
            }
            [.., TokenTree::Punct(dot)] => dot.as_char() == '.',
            _ => false,
        };
        if elsewhere || self.imported.contains(name) {
            return;
        }
        if let Some(word) = banned(name) {
            self.page.found.push(Finding::new(self.file, line, format!("the name `{name}` holds `{word}`; {BETTER}")));
        }
    }

    fn function(&mut self, name: &str, line: usize, after: &[TokenTree]) {
        if name.starts_with("get_") && !TRAITS_OF_OTHERS.contains(&name) {
            let sentence =
                format!("the name `{name}` begins with `get_`; a name that says what comes back needs no verb");
            self.page.found.push(Finding::new(self.file, line, sentence));
        }
        let end_of_head = after.iter().find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Some(group)),
            TokenTree::Punct(punct) if punct.as_char() == ';' => Some(None),
            TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Ident(_) | TokenTree::Literal(_) => None,
        });
        if let Some(Some(body)) = end_of_head {
            let lines = body.span_close().end().line.saturating_sub(line).saturating_add(1);
            if lines > FUNCTION_LINES_MAX {
                let sentence =
                    format!("`{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}; part it by meaning");
                self.page.found.push(Finding::new(self.file, line, sentence));
            }
        }
    }

    /// A code with the arguments that stand behind it: the sentence, and what to do.
    fn code(&mut self, number: u16, line: usize, family: Option<&str>, words: &[TokenTree]) {
        let mut words = said::arguments(words).into_iter().skip(1).peekable();
        // A fault made by its fields may have no word on trying again.
        let retry = words.next_if(|first| family == Some("Fault") && self.names.texts(first, line).is_empty());
        let mut texts = || words.next().map(|argument| self.names.texts(argument, line)).unwrap_or_default();
        let (sentences, mut remedies) = (texts(), texts());
        let again = retry.and_then(<[TokenTree]>::last).map(ToString::to_string);
        remedies.extend(again.as_deref().and_then(|retry| match retry {
            "Now" => Some("try again".to_owned()),
            "Later" => Some("try again later".to_owned()),
            "Never" => Some("trying again does not help".to_owned()),
            _ => None,
        }));
        self.give(number, line, family, Said { sentences, remedies });
    }

    /// `hold(condition, 214, "sentence", "remedy")`.
    fn held(&mut self, group: &Group) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        let mut arguments = said::arguments(&tokens).into_iter();
        let found = arguments.find_map(|argument| match argument {
            [TokenTree::Literal(number)] => Some((number.to_string().parse().ok()?, number.span().start().line)),
            _ => None,
        });
        let Some((number, line)) = found else { return };
        let mut texts = || arguments.next().map(|argument| self.names.texts(argument, line)).unwrap_or_default();
        let said = Said { sentences: texts(), remedies: texts() };
        self.give(number, line, Some("Refusal"), said);
    }

    /// `"ALARM: … [LZ-1034]"`: what is told on standard error and stops nothing.
    fn spelled(&mut self, literal: &str, line: usize) {
        let Some(text) = said::text(literal) else { return };
        let Some((sentence, number)) = text.strip_suffix(']').and_then(|text| text.split_once(" [LZ-")) else { return };
        let (Some(sentence), Ok(number)) = (sentence.strip_prefix("ALARM: "), number.parse()) else { return };
        let sentences = vec![sentence.to_owned()];
        self.give(number, line, Some("Alarm"), Said { sentences, ..Said::default() });
    }

    fn give(&mut self, number: u16, line: usize, family: Option<&str>, said: Said) {
        let (file, family) = (self.file.to_path_buf(), family.map(str::to_owned));
        self.page.codes.push(GivenCode { number, family, file, line, said });
    }

    /// `#[cfg(test)] mod name;`: what stands in that file or folder is of tests too.
    fn test_module(&mut self, name: &str) {
        let owns_its_folder = ["lib", "main", "mod"].iter().any(|owner| self.file.ends_with(format!("{owner}.rs")));
        let folder = if owns_its_folder { self.file.with_file_name("") } else { self.file.with_extension("") };
        self.page.test_modules.push(folder.join(name));
    }
}

/// Whether `==` or `!=` stands before a code: it is then looked for, not given out.
fn is_compared(before: &[TokenTree]) -> bool {
    matches!(before, [.., TokenTree::Punct(first), TokenTree::Punct(second)]
        if ['=', '!'].contains(&first.as_char()) && first.spacing() == Spacing::Joint && second.as_char() == '=')
}

/// `Refusal::new` or `Refusal` and their like, before the group that holds the code.
fn trouble_made(before: &[TokenTree]) -> Option<String> {
    let family = match before {
        [.., TokenTree::Ident(family), TokenTree::Punct(_), TokenTree::Punct(_), TokenTree::Ident(new)]
            if new == "new" =>
        {
            Some(family.to_string())
        }
        [.., TokenTree::Ident(family)] => Some(family.to_string()),
        _ => None,
    };
    family.filter(|family| ["Refusal", "Fault", "Alarm"].contains(&family.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_found(file: &str, text: &str) -> Vec<usize> {
        read(Path::new(file), text).unwrap().found.into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn a_banned_word_in_a_name_of_ours_is_found_whatever_its_spelling() {
        for text in [
            "struct JobQueue;",
            "fn run_jobs() {}",
            "const UTILS: u8 = 0;",
            "enum A { Helper }",
            "mod transfer {}",
            "fn f() { let manager = 1; }",
            "fn f(helper: u8) {}",
            "macro_rules! m { () => { fn transfer_all() {} } }",
            "fn f(a: &'static [u8; JOBS]) {}",
            "fn get_name() {}",
        ] {
            assert_eq!(lines_found("crates/people/src/lib.rs", text), [1], "{text}");
        }
        assert_eq!(lines_found("crates/people/src/utils.rs", ""), [1]);
        assert_eq!(lines_found("crates/job-board/src/lib.rs", ""), [1]);
    }

    #[test]
    fn a_banned_word_in_a_comment_a_string_or_a_name_of_others_is_not() {
        let text = r##"
            //! A job for the manager.
            /* utils /* helper */ transfer */
            use http::header::TRANSFER_ENCODING;
            use tokio::{task::{JoinSet as Set, self}};
            impl ChunkReader for X { fn get_bytes(&self) {} }
            fn jobless() -> &'static str { let _quote = '"'; let _brace = '{'; tokio::task::yield_now(); "a job" }
            fn raw(a: X) { a.transfer(); a.get_name(); f(r#"job " manager"#, b"helper", TRANSFER_ENCODING) }
        "##;
        assert_eq!(lines_found("crates/people/src/lib.rs", text), Vec::<usize>::new());
    }

    #[test]
    fn a_long_file_and_a_long_function_are_found_and_those_at_the_limit_are_not() {
        let file = |lines: usize| "// line\n".repeat(lines);
        assert_eq!(lines_found("drill/src/lib.rs", &file(FILE_LINES_MAX)), Vec::<usize>::new());
        assert_eq!(lines_found("drill/src/lib.rs", &file(FILE_LINES_MAX + 1)), [FILE_LINES_MAX + 1]);
        let function = |lines: usize| {
            format!("trait T {{ fn short(); }}\nfn long()\nwhere u8: Sized,\n{{\n{}\"}}\"; }}", "// }\n".repeat(lines))
        };
        assert_eq!(lines_found("drill/src/lib.rs", &function(FUNCTION_LINES_MAX - 4)), Vec::<usize>::new());
        assert_eq!(lines_found("drill/src/lib.rs", &function(FUNCTION_LINES_MAX)), [2]);
    }

    #[test]
    fn codes_that_are_compared_or_stand_in_tests_are_not_given_out() {
        let codes = |file: &str, text: &str| read(Path::new(file), text).unwrap().codes;
        assert_eq!(codes("crates/people/src/act.rs", "fn f() { a == Code(214) || a != Code(215) }"), []);
        assert_eq!(codes("crates/people/src/act.rs", "const STALE: Code = Code(214);").len(), 1);
        let text = "#[cfg(test)]\n#[expect(x)]\nmod tests { fn f() { assert_eq!(code, Code(214)); } }";
        assert_eq!(codes("crates/people/src/act.rs", text), []);
        assert_eq!(codes("crates/people/src/act/tests.rs", "const C: Code = Code(214);"), []);
        assert_eq!(codes("crates/people/tests/acts.rs", "const C: Code = Code(214);"), []);
        let after = codes("crates/people/src/act.rs", &format!("{text}\nfn g() {{ Refusal::new(Code(214), a) }}"));
        let family = Some("Refusal".to_owned());
        assert_eq!(
            after,
            [GivenCode {
                number: 214,
                family,
                file: "crates/people/src/act.rs".into(),
                line: 4,
                said: Said::default()
            }]
        );
    }

    #[test]
    fn a_module_for_tests_is_known_by_its_file() {
        let modules = |file: &str| read(Path::new(file), "#[cfg(test)]\nmod kit;\nmod other;").unwrap().test_modules;
        assert_eq!(modules("crates/scope/src/lib.rs"), [Path::new("crates/scope/src/kit")]);
        assert_eq!(modules("crates/scope/src/predicate/mod.rs"), [Path::new("crates/scope/src/predicate/kit")]);
        assert_eq!(modules("crates/scope/src/file.rs"), [Path::new("crates/scope/src/file/kit")]);
    }

    #[test]
    fn what_is_not_rust_is_named() {
        assert!(read(Path::new("drill/src/lib.rs"), "fn f( {").is_err());
    }
}
