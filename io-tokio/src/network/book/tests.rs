use super::*;
use futures_util::FutureExt;
use softadastra_core::error::Code;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

fn open(dir: &Path, seed: u64) -> Book {
    Book::open(Arc::new(HeldDir::open(dir).unwrap()), &Seed::from_number(seed))
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

#[tokio::test]
async fn a_book_is_not_written_to_whoever_took_the_path() {
    let top = tempfile::tempdir().unwrap();
    let (path, moved) = (top.path().join("d"), top.path().join("d.old"));
    fs::create_dir(&path).unwrap();
    let ours = open(&path, 1);
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    let theirs = open(&path, 2).key().unwrap();
    let error = ours.change(|content| Ok(content.trusted.insert(NodeKey([5; 32])))).await.unwrap_err();
    assert!(error.what().contains("another directory now"), "{error}");
    assert_eq!(open(&path, 3).key().unwrap(), theirs);
    assert_eq!(open(&moved, 3).key(), ours.key());
}

#[tokio::test]
async fn an_identity_is_made_once_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let key = open(dir.path(), 1).key().unwrap();
    let book = open(dir.path(), 2);
    assert_eq!(book.key().unwrap(), key);
    book.change(|content| Ok(content.trusted.insert(NodeKey([5; 32])))).await.unwrap();
    let again = open(dir.path(), 3);
    assert_eq!(again.key().unwrap(), key);
    assert!(again.read(|content| content.trusted.contains(&NodeKey([5; 32]))).unwrap());

    let memory = Book::in_memory(&Seed::from_number(1));
    assert_eq!(memory.key(), Book::in_memory(&Seed::from_number(1)).key());
    assert_ne!(memory.key(), Book::in_memory(&Seed::from_number(2)).key());
}

#[test]
fn a_book_without_a_file_changes_at_once_and_without_a_thread() {
    let book = Book::in_memory(&Seed::from_number(1));
    book.note_pin(node("a"), NodeKey([1; 32]));
    book.write_pins().now_or_never().expect("it waited").unwrap();
    let key = NodeKey([5; 32]);
    let change = book.change(move |content| Ok(content.trusted.insert(key)));
    assert!(change.now_or_never().expect("it waited").unwrap());
    assert_eq!(book.read(|content| (content.pins.len(), content.trusted.len())).unwrap(), (1, 1));
}

#[tokio::test]
async fn a_damaged_file_is_left_alone_and_every_call_says_why() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), 1);
    let path = dir.path().join(file::FILE_NAME);
    fs::write(&path, "{\"schema\": \"softadastra.net").unwrap();
    let book = open(dir.path(), 2);
    assert_eq!(book.key().unwrap_err().code(), Code::TransportError);
    assert_eq!(book.change(|_| Ok(())).await.unwrap_err().code(), Code::TransportError);
    book.note_pin(node("a"), NodeKey([1; 32]));
    assert_eq!(book.write_pins().await.unwrap_err().code(), Code::TransportError);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"schema\": \"softadastra.net");
}

#[tokio::test]
async fn a_change_that_cannot_be_written_is_not_made() {
    let top = tempfile::tempdir().unwrap();
    let dir = top.path().join("data");
    fs::create_dir(&dir).unwrap();
    let book = open(&dir, 1);
    // Takes the place of the directory away, so that not even root can write there.
    fs::rename(&dir, top.path().join("gone")).unwrap();
    let error = book.change(|content| Ok(content.trusted.insert(NodeKey([5; 32])))).await.unwrap_err();
    assert_eq!(error.code(), Code::IoError);
    assert!(book.read(|content| content.trusted.is_empty()).unwrap());
    book.note_pin(node("a"), NodeKey([1; 32]));
    book.write_pins().await.unwrap_err();
    assert!(book.read(|content| content.pins.is_empty()).unwrap());

    fs::rename(top.path().join("gone"), &dir).unwrap();
    let refused = book.change(|content| {
        content.trusted.insert(NodeKey([6; 32]));
        content.join_network(&softadastra_core::transport::identity::NetworkSecret::from_bytes([1; 32]))?;
        Err::<(), _>(Error::new(Code::InvalidState, "no", ""))
    });
    assert_eq!(refused.await.unwrap_err().code(), Code::InvalidState);
    assert!(book.read(|content| content.trusted.is_empty() && content.secret.is_none()).unwrap());
    // The pin that could not be written goes with the next change.
    book.change(|_| Ok(())).await.unwrap();
    assert_eq!(open(&dir, 1).read(|content| content.pins.get(&node("a")).copied()).unwrap(), Some(NodeKey([1; 32])));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pins_at_once_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path(), 1);
    let pins = (0..200).map(async |n| {
        book.note_pin(node(&format!("n{n}")), NodeKey([n as u8; 32]));
        book.write_pins().await
    });
    for kept in futures_util::future::join_all(pins).await {
        kept.unwrap();
    }
    let again = open(dir.path(), 1);
    assert_eq!(again.read(|content| content.pins.len()).unwrap(), 200);
    let mode = fs::metadata(dir.path().join(file::FILE_NAME)).unwrap().permissions();
    assert_eq!(mode.mode() & 0o7777, Permissions::from_mode(0o600).mode());
}

#[tokio::test]
async fn a_key_that_is_forgotten_takes_pins_with_it_that_were_only_noted() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path(), 1);
    book.note_pin(node("a"), NodeKey([1; 32]));
    assert!(book.change(|content| Ok(content.forget_key(&NodeKey([1; 32])))).await.unwrap());
    book.write_pins().await.unwrap();
    assert!(open(dir.path(), 1).read(|content| content.pins.is_empty()).unwrap());
}
