//! The console as a person sees it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Site;
use super::browser::Browser;
use crate::discovery;
use crate::support::{Node, Place};

/// Two nodes with data, a peer that is gone, and a conflict that waits for a decision.
struct Scene {
    shop: Place,
    till: Place,
    _nodes: [Node; 2],
    site: Site,
}

impl Scene {
    fn new() -> Self {
        let (shop, till) = (Place::of("shop-main-street"), Place::of("till-1"));
        let port = discovery::port();
        let policy =
            [&discovery::on_loopback(&port)[..], &discovery::quick(), &["--set", "conflict_policy=keep_both"]].concat();
        let first = shop.start_with(&[&policy[..], &["--http", "127.0.0.1:0"]].concat());
        let second = till.start_with(&policy);
        let ticket =
            shop.run(&["--json", "ticket"]).data("softadastra.ticket/1")["ticket"].as_str().unwrap().to_owned();
        till.run_with(&["join", "-"], ticket.as_bytes()).ok();
        let lines: String = (0..120)
            .map(|n| format!("{{\"key\":\"order/{n:04}\",\"value\":\"{} x tea, to go\"}}\n", n % 7 + 1))
            .collect();
        shop.run_with(&["store", "import"], lines.as_bytes()).ok();
        shop.run(&["store", "put", "markup", "<b>not bold</b> & <script>document.title='no'</script>"]).ok();
        crate::sync::until("all is delivered", || till.run(&["store", "contains", "markup"]).code == 0);
        shop.run(&["disconnect", "till-1"]).ok();
        shop.run(&["store", "put", "price/tea", "2.40"]).ok();
        till.run(&["store", "put", "price/tea", "2.60"]).ok();
        shop.run(&["connect", "till-1"]).ok();
        crate::sync::until("the conflict is on record", || open_conflicts(&shop) == 1);
        shop.run(&["connect", "127.0.0.1:9"]).ok();
        crate::sync::until("the till is found", || shop.run(&["discovery", "list"]).out().contains("till-1"));
        let site = Site::of(&shop);
        Self { shop, till, _nodes: [first, second], site }
    }
}

fn open_conflicts(place: &Place) -> u64 {
    place.run(&["--json", "status"]).data("softadastra.status/1")["open_conflicts"].as_u64().unwrap()
}

#[track_caller]
fn until_shown(browser: &Browser, what: &str) {
    let begun = Instant::now();
    while !browser.text().contains(what) {
        let complaints = if begun.elapsed() > Duration::from_secs(60) { Some(browser.complaints()) } else { None };
        assert!(complaints.is_none(), "{what:?} is not shown: {complaints:?}\n{}", browser.text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_browser_shows_the_node_and_settles_a_conflict() {
    let Some(browser) = Browser::start(false) else { return };
    let scene = Scene::new();
    let site = &scene.site;
    browser.resize(1200, 900);

    // Without the token it is locked, and says how to open it.
    browser.open(&format!("http://{}/", site.address));
    until_shown(&browser, "This console is locked");
    browser.run("document.getElementById('token').value = 'wrong'; document.querySelector('#unlock button').click()");
    until_shown(&browser, "That is not the token of this node.");

    // The link opens it, and leaves the token in no address and no cookie.
    browser.open(&site.link());
    browser.run("location.reload()");
    until_shown(&browser, "shop-main-street");
    until_shown(&browser, "till-1");
    assert_eq!(browser.run("return location.hash + document.cookie"), Value::from(""));
    for shown in [
        "ready",
        "connected",
        "127.0.0.1:9",
        "price/tea",
        "2.40",
        "2.60",
        "order/0000",
        "http_started",
        "the last run had ended cleanly",
    ] {
        until_shown(&browser, shown);
    }
    assert_eq!(browser.run("return document.querySelectorAll('#keys td.key').length"), 20);
    let found = browser.run("return document.getElementById('found').innerText").as_str().unwrap().to_owned();
    assert!(found.contains("till-1") && found.contains("available") && found.contains("linked"), "{found}");
    until_shown(&browser, "This node announces itself and hears others.");
    browser.run("document.getElementById('more').click()");
    until_shown(&browser, "order/0030");

    let year = browser
        .run("return document.querySelector('#keys td.when').innerText + document.querySelector('.side').innerText");
    assert!(!year.as_str().unwrap().contains("1970"), "{year}");

    // What a value holds is text, never markup.
    browser.run("document.getElementById('prefix').value = 'mark'; document.querySelector('#search button').click()");
    until_shown(&browser, "<b>not bold</b>");
    assert_eq!(browser.run("return document.querySelectorAll('#keys b, #keys script').length"), 0);
    assert_eq!(browser.run("return document.title"), Value::from("shop-main-street · Softadastra"));

    // Live charts have lines after a while.
    crate::sync::until("a chart is drawn", || {
        browser.run("return document.querySelectorAll('path.line').length").as_u64() > Some(1)
    });

    // The version that lost is kept instead, here and there.
    let losing = scene.shop.run(&["--json", "conflicts", "list"]).data("softadastra.conflicts/1");
    let losing = losing["conflicts"][0]["loser"]["value"].as_str().unwrap().to_owned();
    browser.run("document.querySelector('.side:not(.won) button').click()");
    crate::sync::until("it is settled", || open_conflicts(&scene.shop) == 0);
    for place in [&scene.shop, &scene.till] {
        crate::sync::until("the value is there", || place.run(&["store", "get", "price/tea", "--raw"]).out() == losing);
    }
    until_shown(&browser, "resolved");
    // The refused token and the lost address are no faults of the page.
    let complaints: Vec<_> = browser.complaints().into_iter().filter(|line| !line.contains("401")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// Pictures to be looked at, for who names a directory for them.
#[test]
fn it_fits_narrow_and_wide_windows_in_light_and_dark() {
    let (Some(light), Some(dark)) = (Browser::start(false), Browser::start(true)) else { return };
    let scene = Scene::new();
    for (browser, tone) in [(&light, "light"), (&dark, "dark")] {
        for (width, name) in [(1280, "wide"), (390, "narrow")] {
            browser.resize(width, 900);
            browser.open("about:blank");
            browser.open(&scene.site.link());
            until_shown(browser, "order/0000");
            until_shown(browser, "Keep this");
            let shown = browser.run(
                "return [document.documentElement.scrollWidth, matchMedia('(prefers-color-scheme: dark)').matches]",
            );
            assert_eq!(shown[1], tone == "dark");
            let hidden = browser.run(
                "return [...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth)\
                 .map((box) => box.firstElementChild.id)",
            );
            assert_eq!(hidden, serde_json::json!([]), "{tone} {name}: tables that are wider than their place");
            assert!(
                shown[0].as_u64().unwrap() <= u64::from(width),
                "{tone} {name}: the page is wider than its window: {shown}"
            );
            if let Some(dir) = std::env::var_os("PICTURES") {
                std::thread::sleep(Duration::from_secs(5));
                let path = std::path::Path::new(&dir).join(format!("console-{tone}-{name}.png"));
                std::fs::write(path, browser.picture()).unwrap();
            }
        }
    }
}
