//! Puts every mutant of a file into it at once, asleep: `mutant::is(7)` wakes number 7.
//!
//! An expression `a + b` with the mutants 7 (`-`) and 8 (`*`) becomes
//! `(if mutant::is(7) { a - b } else if mutant::is(8) { a * b } else { a + b })`, in the last branch with the mutants of
//! `a` and `b`; the other branches stand as they were written, since only one mutant is ever awake. Functions begin with an
//! early return, arms get a guard. A comment `/*m7*/` stands in each line of number 7, so that what the compiler says of
//! a line says which mutant is not Rust.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::catalogue::{Genre, Id, Mutant, Place};

/// What became of a file.
pub(crate) struct Woven {
    pub(crate) text: String,
    /// Those in it.
    pub(crate) inside: BTreeSet<Id>,
}

/// Weaves `mutants` into the text of one file. Those in constants, in functions that constants need (`needed`, by name),
/// and those beside a `let` in a condition, are left out.
pub(crate) fn weave(source: &str, mutants: &[(Id, &Mutant)], needed: &BTreeSet<String>) -> syn::Result<Woven> {
    let ast = syn::parse_file(source)?;
    let mut wanted: HashMap<(Genre, Place), Vec<(Id, &str)>> = HashMap::new();
    for (id, mutant) in mutants {
        wanted.entry((mutant.genre, mutant.span.start)).or_default().push((*id, &mutant.replacement));
    }
    let lines = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let (edits, inside) = (Vec::new(), BTreeSet::new());
    let mut weaver = Weaver { source, lines, wanted, needed, edits, inside, constant: false };
    weaver.visit_file(&ast);
    weaver.edits.sort_by_key(|edit| (edit.from, Reverse(edit.to)));
    let text = render(source, &weaver.edits, 0, source.len());
    Ok(Woven { text, inside: weaver.inside })
}

/// A change of a piece of the text. Pieces lie beside or within each other.
struct Edit {
    from: usize,
    to: usize,
    how: How,
}

enum How {
    /// Text in place of the piece.
    Instead(String),
    /// The piece, or one of these.
    OneOf(Vec<Alternative>),
    /// The guard of an arm.
    Guard { arm: Option<Id>, always: Option<Id>, never: Option<Id> },
}

/// The piece with a part of it replaced.
struct Alternative {
    id: Id,
    from: usize,
    to: usize,
    text: String,
}

struct Weaver<'a> {
    source: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    wanted: HashMap<(Genre, Place), Vec<(Id, &'a str)>>,
    /// Functions that must stay constant.
    needed: &'a BTreeSet<String>,
    edits: Vec<Edit>,
    inside: BTreeSet<Id>,
    /// What is being visited is known when it is compiled; nothing can be woken there.
    constant: bool,
}

impl<'a> Weaver<'a> {
    fn offset(&self, at: LineColumn) -> usize {
        let line = self.lines.get(at.line - 1).copied().unwrap_or(self.source.len());
        let rest = self.source.get(line..).unwrap_or_default();
        line + rest.char_indices().nth(at.column).map_or(rest.len(), |(offset, _)| offset)
    }

    fn range(&self, span: Span) -> (usize, usize) {
        (self.offset(span.start()), self.offset(span.end()))
    }

    /// The mutants of this genre that begin where `span` does.
    fn at(&self, genre: Genre, span: Span) -> Vec<(Id, &'a str)> {
        let LineColumn { line, column } = span.start();
        let found = self.wanted.get(&(genre, Place { line, column: column + 1 }));
        found.filter(|_| !self.constant).cloned().unwrap_or_default()
    }

    fn edit(&mut self, (from, to): (usize, usize), how: How) {
        self.edits.push(Edit { from, to, how });
    }

    /// The whole expression, with its operator replaced.
    fn operator(&mut self, genre: Genre, whole: Span, operator: Span) {
        let (from, to) = self.range(operator);
        let found = self.at(genre, operator).into_iter();
        let alternatives: Vec<_> = found.map(|(id, text)| Alternative { id, from, to, text: text.into() }).collect();
        self.one_of(whole, alternatives);
    }

    fn one_of(&mut self, whole: Span, alternatives: Vec<Alternative>) {
        if !alternatives.is_empty() {
            self.inside.extend(alternatives.iter().map(|one| one.id));
            self.edit(self.range(whole), How::OneOf(alternatives));
        }
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        if let Some(token) = &signature.constness {
            if self.needed.contains(&signature.ident.to_string()) {
                return;
            }
            self.edit(self.range(token.span), How::Instead(String::new()));
        }
        let before = std::mem::replace(&mut self.constant, false);
        if let Some(first) = block.stmts.first() {
            let (_, begin) = self.range(block.brace_token.span.open());
            for (id, value) in self.at(Genre::FnValue, first.span()) {
                self.inside.insert(id);
                let text = format!("\nif crate::mutant::is({id}) {{ return {value}; }} /*m{id}*/\n");
                self.edit((begin, begin), How::Instead(text));
            }
        }
        visit::visit_block(self, block);
        self.constant = before;
    }

    fn constant(&mut self, within: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.constant, true);
        within(self);
        self.constant = before;
    }
}

impl<'ast> Visit<'ast> for Weaver<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(|weaver| visit::visit_item_const(weaver, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(|weaver| visit::visit_impl_item_const(weaver, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.constant(|weaver| visit::visit_item_static(weaver, item));
    }

    fn visit_expr_repeat(&mut self, array: &'ast syn::ExprRepeat) {
        self.visit_expr(&array.expr);
        self.constant(|weaver| weaver.visit_expr(&array.len));
    }

    fn visit_expr_const(&mut self, block: &'ast syn::ExprConst) {
        self.constant(|weaver| visit::visit_expr_const(weaver, block));
    }

    fn visit_type(&mut self, of: &'ast syn::Type) {
        self.constant(|weaver| visit::visit_type(weaver, of));
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        if !binds(&binary.left) && !binds(&binary.right) {
            self.operator(Genre::BinaryOperator, binary.span(), binary.op.span());
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        self.operator(Genre::UnaryOperator, unary.span(), unary.op.span());
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_struct(&mut self, expression: &'ast syn::ExprStruct) {
        let mut without = Vec::new();
        for field in &expression.fields {
            let (from, to) = self.range(field.span());
            let rest = self.source.get(to..).unwrap_or_default();
            let comma = if rest.trim_start().starts_with(',') { rest.find(',').map_or(0, |at| at + 1) } else { 0 };
            let found = self.at(Genre::StructField, field.span()).into_iter();
            without.extend(found.map(|(id, _)| Alternative { id, from, to: to + comma, text: String::new() }));
        }
        self.one_of(expression.span(), without);
        visit::visit_expr_struct(self, expression);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let deleted = self.at(Genre::MatchArm, arm.span()).first().map(|(id, _)| *id);
        if let Some((_, guard)) = &arm.guard {
            let found = self.at(Genre::MatchArmGuard, guard.span());
            let of = |text| found.iter().find(|(_, with)| *with == text).map(|(id, _)| *id);
            let (always, never) = (of("true"), of("false"));
            let ids: Vec<_> = [deleted, always, never].into_iter().flatten().collect();
            if !ids.is_empty() && !binds(guard) {
                self.inside.extend(ids);
                self.edit(self.range(guard.span()), How::Guard { arm: deleted, always, never });
            }
        } else if let Some(id) = deleted {
            self.inside.insert(id);
            let (_, end) = self.range(arm.pat.span());
            self.edit((end, end), How::Instead(format!(" if !crate::mutant::is({id}) /*m{id}*/ ")));
        }
        visit::visit_arm(self, arm);
    }
}

/// Whether names bound in an expression are of use outside it.
fn binds(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => binds(&binary.left) || binds(&binary.right),
        _ => false,
    }
}

/// The text between `from` and `to`, with the edits that lie there, sorted.
fn render(source: &str, mut edits: &[Edit], from: usize, to: usize) -> String {
    let piece = |from: usize, to: usize| source.get(from..to).unwrap_or_default();
    let mut text = String::new();
    let mut done = from;
    while let Some((edit, rest)) = edits.split_first() {
        let within = rest.iter().take_while(|other| other.from < edit.to).count();
        let (within, rest) = rest.split_at(within);
        edits = rest;
        text.push_str(piece(done, edit.from));
        done = edit.to;
        match &edit.how {
            How::Instead(with) => text.push_str(with),
            How::OneOf(alternatives) => {
                text.push('(');
                for Alternative { id, from, to, text: with } in alternatives {
                    let other = format!("{}{with}{}", piece(edit.from, *from), piece(*to, edit.to));
                    let other = other.replace('\n', &format!(" /*m{id}*/\n"));
                    text.push_str(&format!("if crate::mutant::is({id}) {{ /*m{id}*/ {other} /*m{id}*/ }} else \n"));
                }
                text.push_str(&format!("{{ {} }})", render(source, within, edit.from, edit.to)));
            }
            How::Guard { arm, always, never } => {
                let mut guard = format!("({})", render(source, within, edit.from, edit.to));
                for (id, begin, join) in [(never, "!", "&&"), (always, "", "||"), (arm, "!", "&&")] {
                    if let Some(id) = id {
                        guard = format!("({begin}crate::mutant::is({id}) /*m{id}*/ {join} {guard})");
                    }
                }
                text.push_str(&guard);
            }
        }
    }
    text.push_str(piece(done, to));
    text
}

#[cfg(test)]
mod tests;
