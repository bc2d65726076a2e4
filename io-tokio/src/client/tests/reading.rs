//! Scans and watches.

use super::*;
use crate::model::Change;

fn keys(page: &Page) -> Vec<&str> {
    page.items.iter().map(|item| std::str::from_utf8(&item.key).unwrap()).collect()
}

#[tokio::test]
async fn a_scan_goes_page_by_page_in_order() {
    let client = Client::open(ClientOptions::memory_only()).await.unwrap();
    for key in ["b/2", "a/1", "b/1", "c", "b/3", "b", "b0"] {
        client.put(key, key.to_uppercase()).await.unwrap();
    }
    let all = client.scan(&ScanOptions::default()).unwrap();
    assert_eq!(keys(&all), ["a/1", "b", "b/1", "b/2", "b/3", "b0", "c"]);
    assert_eq!((all.next, &all.items[0].value.bytes[..]), (None, &b"A/1"[..]));

    let mut options = ScanOptions { prefix: "b/".into(), limit: 2, ..ScanOptions::default() };
    let first = client.scan(&options).unwrap();
    assert_eq!((keys(&first), first.next.as_deref()), (vec!["b/1", "b/2"], Some(&b"b/2"[..])));
    options.after = first.next;
    let second = client.scan(&options).unwrap();
    assert_eq!((keys(&second), &second.next), (vec!["b/3"], &None));

    // A page that ends exactly with the last key says that nothing follows.
    let exact = client.scan(&ScanOptions { prefix: "b/".into(), limit: 3, ..ScanOptions::default() }).unwrap();
    assert_eq!((exact.items.len(), exact.next), (3, None));
    let range = ScanOptions { from: Some("b/2".into()), to: Some("c".into()), ..ScanOptions::default() };
    assert_eq!(keys(&client.scan(&range).unwrap()), ["b/2", "b/3", "b0"]);
    let clipped = ScanOptions { prefix: "b/".into(), ..range.clone() };
    assert_eq!(keys(&client.scan(&clipped).unwrap()), ["b/2", "b/3"]);
    let empty = ScanOptions { from: Some("x".into()), to: Some("a".into()), ..ScanOptions::default() };
    assert_eq!(client.scan(&empty).unwrap().items, []);
    let behind = ScanOptions { after: Some("a".into()), prefix: "b/".into(), ..ScanOptions::default() };
    assert_eq!(keys(&client.scan(&behind).unwrap()), ["b/1", "b/2", "b/3"]);
}

#[tokio::test]
async fn what_is_looked_at_in_place_is_what_a_page_holds() {
    let client = Client::open(ClientOptions::memory_only()).await.unwrap();
    // Empty, short, as long as a piece of a page, shared.
    for (number, len) in [0, 1, 100, 1023, 1024, 1025, 4095, 4096, 70_000].into_iter().cycle().take(300).enumerate() {
        client.put(format!("{number:03}"), vec![number as u8; len]).await.unwrap();
    }
    let mut options = ScanOptions { limit: 7, ..ScanOptions::default() };
    let mut seen = 0;
    loop {
        let page = client.scan(&options).unwrap();
        let mut looked = Vec::new();
        let next = client.scan_with(&options, |key, value| looked.push((key.to_vec(), value.to_vec()))).unwrap();
        let items = page.items.iter().map(|item| (item.key.to_vec(), item.value.bytes.to_vec()));
        assert_eq!((looked, &next), (items.collect(), &page.next));
        for item in &page.items {
            assert_eq!(client.get(&item.key).unwrap().as_ref(), Some(&item.value));
            assert_eq!(client.get_with(&item.key, <[u8]>::to_vec).unwrap().as_deref(), Some(&item.value.bytes[..]));
        }
        seen += page.items.len();
        if next.is_none() {
            break;
        }
        options.after = next;
    }
    assert_eq!(seen, 300);
    client.remove("007").await.unwrap();
    assert_eq!(client.get_with("007", <[u8]>::len).unwrap(), None);
    let nothing = ScanOptions { limit: 0, ..ScanOptions::default() };
    assert_eq!(client.scan_with(&nothing, |_, _| ()).unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn pages_go_on_where_they_ended_however_the_store_changes_between_them() {
    let client = Client::open(ClientOptions::memory_only()).await.unwrap();
    for number in 0..40 {
        client.put(format!("k{:02}", number * 2), "old").await.unwrap();
    }
    let mut options = ScanOptions { prefix: "k".into(), limit: 10, ..ScanOptions::default() };
    let first = client.scan(&options).unwrap();
    assert_eq!(first.next.as_deref(), Some(&b"k18"[..]));
    // The cursor's key goes, a key comes before it and one behind it, and values change.
    client.remove("k18").await.unwrap();
    client.put("k01", "new").await.unwrap();
    client.put("k19", "new").await.unwrap();
    client.put("k00", "new").await.unwrap();
    assert_eq!(&first.items[0].value.bytes[..], b"old", "a page stays as it was read");
    options.after = first.next;
    let second = client.scan(&options).unwrap();
    assert_eq!(keys(&second), ["k19", "k20", "k22", "k24", "k26", "k28", "k30", "k32", "k34", "k36"]);
}

fn told(change: &Change) -> (&str, Option<&str>) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (text(&change.key), change.value.as_deref().map(text))
}

#[tokio::test]
async fn a_watch_sees_what_is_there_and_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let client = open(&dir).await;
    client.put("a/1", "x").await.unwrap();
    client.put("b/1", "x").await.unwrap();
    client.put("a/1", "y").await.unwrap();
    let mut watch = client.watch("a/", Lsn::ZERO).unwrap();
    assert_eq!(watch.next().await.as_ref().map(told), Some(("a/1", Some("y"))), "the overwritten version is skipped");
    assert_eq!(watch.ready(10).unwrap(), []);

    let coming = tokio::spawn(async move { (watch.next().await, watch.next().await, watch) });
    client.put("b/2", "x").await.unwrap();
    client.put("a/2", "z").await.unwrap();
    let removed = client.remove("a/1").await.unwrap();
    let (first, second, mut watch) = coming.await.unwrap();
    assert_eq!(told(first.as_ref().unwrap()), ("a/2", Some("z")));
    let second = second.unwrap();
    assert_eq!((told(&second), second.version, second.lsn), (("a/1", None), removed.version, removed.lsn));

    // A later watch goes on where this one stands, also after a restart.
    let position = watch.position();
    client.put("a/3", "1").await.unwrap();
    assert_eq!(watch.ready(10).unwrap().len(), 1);
    client.close().await.unwrap();
    assert_eq!(watch.next().await, None);
    let client = open(&dir).await;
    let mut watch = client.watch("a/", position).unwrap();
    assert_eq!(watch.next().await.as_ref().map(told), Some(("a/3", Some("1"))));
}

#[tokio::test]
async fn a_slow_watch_misses_no_key_and_a_limit_does_not_lose_the_rest() {
    let client = Client::open(ClientOptions::memory_only()).await.unwrap();
    let mut batch = Batch::new();
    for n in 0..5000 {
        batch.put(format!("{n:04}"), "1");
    }
    client.batch(batch).await.unwrap();
    let mut watch = client.watch("", Lsn::ZERO).unwrap();
    let mut seen = Vec::new();
    loop {
        let changes = watch.ready(7).unwrap();
        if changes.is_empty() {
            break;
        }
        assert_eq!(watch.position(), changes.last().unwrap().lsn);
        seen.extend(changes.into_iter().map(|change| change.key));
    }
    assert_eq!(seen.len(), 5000);
    assert!(seen.is_sorted());
    assert_eq!(watch.position(), client.last_lsn().unwrap());
}

#[tokio::test]
async fn values_that_wait_for_a_slow_reader_are_bounded() {
    let client = Client::open(ClientOptions::memory_only()).await.unwrap();
    for n in 0..64 {
        client.put(format!("{n:02}"), vec![0; 256 << 10]).await.unwrap();
    }
    let mut watch = client.watch("", Lsn::ZERO).unwrap();
    assert_eq!(watch.ready(1).unwrap().len(), 1);
    assert!(watch.waiting_bytes() <= 2 << 20, "{} bytes are pinned", watch.waiting_bytes());
    assert_eq!(watch.ready(100).unwrap().len(), 63);
}
