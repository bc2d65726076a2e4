//! `softadastra store`.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use comfy_table::{CellAlignment, ColumnConstraint, Width};
use softadastra_core::error::Code;
use softadastra_core::limits::{MAX_KEY_LEN, MAX_VALUE_LEN};

use super::args::{Key, StoreCommand};
use super::export::Export;
use super::import::Import;
use super::input;
use super::output::{Done, Failure, Output};
use super::render::{lines_of, plain_table, preview};
use super::site::Act;
use crate::control::answer::{Page, Record};
use crate::control::backend::{Backend, Changes as _, PAGE_RECORDS, Scan};
use crate::control::fault::{Fault, readable};

/// A store command whose arguments have been read.
pub(super) enum Action {
    Put { key: Bytes, value: Bytes, if_version: Option<u64> },
    Get { key: Bytes, raw: bool },
    Remove { key: Bytes },
    Contains { key: Bytes },
    List(List),
    Size,
    Import(Import),
    Export(Export),
    Watch { prefix: Bytes, from: Option<u64>, count: Option<u64> },
}

/// Which records to list, and how.
pub(super) struct List {
    prefix: Bytes,
    after: Option<Bytes>,
    limit: u64,
    keys: bool,
}

impl Action {
    /// Reads what the arguments name, before anything is opened or locked: stdin may take its time.
    pub(super) fn of(command: StoreCommand) -> Result<Self, Failure> {
        Ok(match command {
            StoreCommand::Put { key, value, file, if_version } => {
                Self::Put { key: key_bytes(key)?, value: value_bytes(value, file)?, if_version }
            }
            StoreCommand::Get { key, raw } => Self::Get { key: key_bytes(key)?, raw },
            StoreCommand::Remove { key } => Self::Remove { key: key_bytes(key)? },
            StoreCommand::Contains { key } => Self::Contains { key: key_bytes(key)? },
            StoreCommand::List { prefix, after, limit, keys } => Self::List(List {
                prefix: Bytes::copy_from_slice(prefix.text().as_bytes()),
                after: after.map(|key| key.into_bytes().into()),
                limit: limit.unwrap_or(u64::MAX),
                keys,
            }),
            StoreCommand::Size => Self::Size,
            StoreCommand::Import { file } => Self::Import(Import::open(file)?),
            StoreCommand::Export { file, prefix } => Self::Export(Export::new(file, prefix.into_bytes().into())),
            StoreCommand::Watch { prefix, from, count } => {
                Self::Watch { prefix: Bytes::copy_from_slice(prefix.text().as_bytes()), from, count }
            }
        })
    }
}

impl Act for Action {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        match self {
            Self::Put { key, value, if_version } => {
                let put = backend.put(key, value, if_version).await.map_err(Failure::of_arguments)?;
                out.answer(&put)?;
            }
            Self::Get { key, raw } => get(&backend.get(key).await?, raw, out)?,
            Self::Remove { key } => out.answer(&backend.remove(key).await?)?,
            Self::Contains { key } => {
                let answer = backend.contains(key).await?;
                out.answer(&answer)?;
                return Ok(if answer.contains { Done::Yes } else { Done::No });
            }
            Self::List(list) => list.run(backend, out).await?,
            Self::Size => out.answer(&backend.size().await?)?,
            Self::Import(import) => import.run(backend, out).await?,
            Self::Export(export) => export.run(backend, out).await?,
            Self::Watch { prefix, from, count } => watch(backend, prefix, from, count, out).await?,
        }
        Ok(Done::Yes)
    }
}

fn get(record: &Record, raw: bool, out: &mut Output) -> Result<(), Failure> {
    if raw {
        return out.bytes(&record.value);
    }
    if out.is_json() {
        return out.document(record);
    }
    if std::str::from_utf8(&record.value).is_err() {
        let what = format!("the value of {} is {} bytes that are not text", readable(&record.key), record.value.len());
        return Err(Fault::new(Code::InvalidArgument, what, "print it with --raw or --json").into());
    }
    out.bytes(&record.value)?;
    out.text("\n")
}

async fn watch<B: Backend>(
    backend: &mut B,
    prefix: Bytes,
    from: Option<u64>,
    count: Option<u64>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut watch = backend.watch(prefix, from).await?;
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        out.answer(&watch.next().await?)?;
        out.flush()?;
        seen += 1;
    }
    Ok(())
}

/// Calls `each` with the pages of a listing, until its end or the limit.
pub(super) async fn pages<B: Backend>(
    backend: &mut B,
    prefix: Bytes,
    after: Option<Bytes>,
    limit: u64,
    mut each: impl FnMut(&Page) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut left = limit;
    let mut scan = Scan { prefix, after, limit: 0 };
    while left > 0 {
        scan.limit = usize::try_from(left).unwrap_or(usize::MAX).min(PAGE_RECORDS);
        let page = backend.scan(&scan).await?;
        each(&page)?;
        left -= page.records.len() as u64;
        match page.records.last() {
            Some(last) if page.more => scan.after = Some(last.key.clone()),
            _ => break,
        }
        // In process no page is waited for; whoever watches for an interrupt gets a turn all the same.
        tokio::task::yield_now().await;
    }
    Ok(())
}

impl List {
    async fn run<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<(), Failure> {
        let Self { prefix, after, limit, keys } = self;
        if out.is_json() {
            // Written as it comes: a listing may be far larger than memory should be.
            out.text(&format!("{{\"schema\":\"softadastra.{}\",\"data\":{{\"records\":[", "list/1"))?;
            let mut first = true;
            pages(backend, prefix, after, limit, |page| {
                for record in &page.records {
                    if !std::mem::take(&mut first) {
                        out.text(",")?;
                    }
                    out.text(&serde_json::to_string(record).expect("a record is text and numbers"))?;
                }
                Ok(())
            })
            .await?;
            return out.text("]}}\n");
        }
        if keys {
            return pages(backend, prefix, after, limit, |page| {
                page.records.iter().try_for_each(|record| out.text(&format!("{}\n", readable(&record.key))))
            })
            .await;
        }
        let mut widths = None;
        pages(backend, prefix, after, limit, |page| {
            let text = page_table(page, &mut widths);
            out.text(&text)
        })
        .await
    }
}

/// The widest column that later pages are padded to.
const WIDEST: u16 = 40;

/// The records of a page as the lines of a table. Later pages go on below the first, no narrower than it.
fn page_table(page: &Page, widths: &mut Option<Vec<u16>>) -> String {
    if page.records.is_empty() {
        return String::new();
    }
    let mut table = plain_table();
    table.set_header(["KEY", "VERSION", "BYTES", "VALUE"]);
    for record in &page.records {
        table.add_row([
            readable(&record.key),
            record.version.to_string(),
            record.value.len().to_string(),
            preview(&record.value),
        ]);
    }
    for (column, align) in table.column_iter_mut().zip([false, true, true, false]) {
        if align {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let first = widths.is_none();
    let own = table.column_max_content_widths();
    let before = widths.take().unwrap_or_else(|| vec![0; own.len()]);
    // Later pages shall stand below the first, but one long key is no reason to pad all others.
    let wide: Vec<u16> = own.iter().zip(&before).map(|(own, before)| (*own.max(before)).min(WIDEST)).collect();
    for (column, width) in table.column_iter_mut().zip(&wide) {
        let width = width.saturating_add(column.padding_width());
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
    }
    *widths = Some(wide);
    let text = lines_of(&table);
    if first { text } else { text.split_once('\n').map_or(String::new(), |(_, rows)| rows.to_owned()) }
}

fn key_bytes(key: Key) -> Result<Bytes, Failure> {
    let mistake = |what| Failure::Usage(Fault::new(Code::InvalidArgument, what, "correct it"));
    let bytes = match key.key_base64 {
        false => Bytes::from(key.key.into_bytes()),
        true => match BASE64.decode(&key.key) {
            Ok(bytes) => bytes.into(),
            Err(error) => return Err(mistake(format!("the key {:?} is not base64: {error}", key.key))),
        },
    };
    match bytes.len() {
        0 => Err(mistake("the key is empty".to_owned())),
        1..=MAX_KEY_LEN => Ok(bytes),
        len => Err(mistake(format!("the key has {len} bytes, more than {MAX_KEY_LEN}"))),
    }
}

/// A value as the arguments give it: literally, from a file, or from stdin.
pub(super) fn value_bytes(value: Option<OsString>, file: Option<PathBuf>) -> Result<Bytes, Failure> {
    match (value, file) {
        (Some(value), _) if value != "-" => Ok(value.into_vec().into()),
        (None, Some(path)) if path != Path::new("-") => {
            let doing = format!("read {}", path.display());
            let file = File::open(&path).map_err(|error| Fault::io(&doing, &error))?;
            read_value(file, &doing)
        }
        _ => read_value(input::stdin()?.lock(), "read stdin"),
    }
}

/// Reads no more than any node would take: an endless source must not fill memory.
fn read_value(source: impl Read, doing: &str) -> Result<Bytes, Failure> {
    let mut value = Vec::new();
    let most = MAX_VALUE_LEN as u64 + 1;
    source.take(most).read_to_end(&mut value).map_err(|error| Fault::io(doing, &error))?;
    if value.len() > MAX_VALUE_LEN {
        let what = format!("the value has more than {MAX_VALUE_LEN} bytes");
        return Err(Failure::Usage(Fault::new(Code::InvalidArgument, what, "store it in parts")));
    }
    Ok(value.into())
}
