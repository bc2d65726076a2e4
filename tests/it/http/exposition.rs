//! Reads the texts of metrics as strictly as their formats allow: the text format 0.0.4 of Prometheus, and OpenMetrics 1.0.

use std::collections::{BTreeMap, BTreeSet};

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// Numbers of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) samples: Vec<Sample>,
}

/// A text, by the names of its families.
#[derive(Debug, PartialEq)]
pub(super) struct Exposition(pub(super) BTreeMap<String, Family>);

impl Exposition {
    /// Reads a text; says what is wrong with it, and where.
    pub(super) fn read(text: &str, open: bool) -> Result<Self, String> {
        let body = match (text.strip_suffix("# EOF\n"), open) {
            (Some(body), true) => body,
            (None, false) => text,
            (None, true) => return Err("it has no end".to_owned()),
            (Some(_), false) => return Err("an end is a comment to who does not know it".to_owned()),
        };
        let body = body.strip_suffix('\n').ok_or("the last line is cut off")?;
        let mut reader = Reader { open, ..Reader::default() };
        for (at, line) in body.split('\n').enumerate() {
            reader.line(line).map_err(|what| format!("line {}: {what}: {line:?}", at + 1))?;
        }
        let families = reader.families;
        for (name, family) in &families {
            family.judge(open).map_err(|what| format!("{name}: {what}"))?;
        }
        Ok(Self(families))
    }

    /// The value of a series that is written like `name{label="value"}`.
    #[track_caller]
    pub(super) fn value(&self, series: &str) -> f64 {
        let (name, labels) = parse_series(series).unwrap();
        let all = self.0.values().flat_map(|family| &family.samples);
        let mut found = all.filter(|sample| sample.name == name && sample.labels == labels);
        found.next().unwrap_or_else(|| panic!("no {series} in {self:#?}")).value
    }
}

#[derive(Default)]
struct Reader {
    open: bool,
    current: String,
    helped: BTreeSet<String>,
    families: BTreeMap<String, Family>,
    seen: BTreeSet<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.contains(['\r', '\t']) {
            return Err("no such line belongs there".to_owned());
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or("no help")?;
            let is_new = self.helped.insert(name.to_owned()) && !self.families.contains_key(name);
            self.current = name.to_owned();
            return (is_new && !help.is_empty() && !help.contains('\\')).then_some(()).ok_or("told twice".to_owned());
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("no type")?;
            if name != self.current || !is_name(name) || !["counter", "gauge", "histogram"].contains(&kind) {
                return Err("not the type of this family".to_owned());
            }
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            let before = self.families.insert(name.to_owned(), family);
            return before.is_none().then_some(()).ok_or("told twice".to_owned());
        }
        if line.starts_with('#') {
            return Err("a comment".to_owned());
        }
        let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
        let (name, labels) = parse_series(series)?;
        let family = self.families.get_mut(&self.current).ok_or("of no family")?;
        let endings: &[&str] = match (family.kind.as_str(), self.open) {
            ("counter", true) => &["_total"],
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let ending = name.strip_prefix(&self.current).filter(|ending| endings.contains(ending));
        ending.ok_or("stands under another family")?;
        if !self.seen.insert(series.to_owned()) {
            return Err("told twice".to_owned());
        }
        let value = parse_number(value).ok_or("not a number")?;
        family.samples.push(Sample { name, labels, value });
        Ok(())
    }
}

impl Family {
    fn judge(&self, open: bool) -> Result<(), String> {
        if self.samples.is_empty() {
            return Err("it has no samples".to_owned());
        }
        let names: BTreeSet<_> = self.samples.iter().map(|sample| sample.labels.keys().collect::<Vec<_>>()).collect();
        match self.kind.as_str() {
            "counter" => {
                let grows = self.samples.iter().all(|sample| sample.value >= 0.0 && sample.value.is_finite());
                let is_named = open || self.samples.iter().all(|sample| sample.name.ends_with("_total"));
                (grows && is_named && names.len() == 1).then_some(()).ok_or("no counter is like this".to_owned())
            }
            "histogram" => self.judge_histogram(),
            _ => (names.len() == 1).then_some(()).ok_or("its samples have different labels".to_owned()),
        }
    }

    fn judge_histogram(&self) -> Result<(), String> {
        let (buckets, rest): (Vec<_>, Vec<_>) =
            self.samples.iter().partition(|sample| sample.name.ends_with("_bucket"));
        let bounds: Option<Vec<f64>> = buckets.iter().map(|bucket| parse_number(bucket.labels.get("le")?)).collect();
        let bounds = bounds.ok_or("a bucket without a bound")?;
        let counts: Vec<_> = buckets.iter().map(|bucket| bucket.value).collect();
        let [sum, count] = &rest[..] else { return Err("it has a sum and a count".to_owned()) };
        let is_whole = sum.name.ends_with("_sum") && count.name.ends_with("_count") && sum.value >= 0.0;
        let adds_up = counts.is_sorted() && counts.last() == Some(&count.value);
        let goes_up = bounds.is_sorted_by(|a, b| a < b) && bounds.last() == Some(&f64::INFINITY);
        (is_whole && adds_up && goes_up).then_some(()).ok_or(format!("it does not add up: {bounds:?} {counts:?}"))
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn parse_number(text: &str) -> Option<f64> {
    // Rust reads more than the formats know, such as `infinity`.
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    (is_plain || ["+Inf", "-Inf", "NaN"].contains(&text)).then(|| text.parse().ok()).flatten()
}

type Series = (String, BTreeMap<String, String>);

fn parse_series(series: &str) -> Result<Series, String> {
    let mut labels = BTreeMap::new();
    let Some((name, rest)) = series.split_once('{') else {
        return is_name(series).then(|| (series.to_owned(), labels)).ok_or("not a name".to_owned());
    };
    let mut rest = rest.strip_suffix('}').filter(|_| is_name(name)).ok_or("not a series")?;
    loop {
        let (label, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        let mut value = String::new();
        let mut chars = after.chars();
        loop {
            match chars.next().ok_or("a value without an end")? {
                '"' => break,
                '\\' => value.push(match chars.next() {
                    Some('n') => '\n',
                    Some(c @ ('\\' | '"')) => c,
                    other => return Err(format!("no such escape: {other:?}")),
                }),
                c => value.push(c),
            }
        }
        let is_new = labels.insert(label.to_owned(), value).is_none();
        if !is_name(label) || label.contains(':') || label.starts_with("__") || !is_new {
            return Err(format!("the label {label:?}"));
        }
        rest = chars.as_str();
        if rest.is_empty() {
            return Ok((name.to_owned(), labels));
        }
        rest = rest.strip_prefix(',').ok_or("labels that are not parted")?;
    }
}

#[test]
fn what_breaks_a_format_is_found() {
    let help = "# HELP a_total A.\n# TYPE a_total counter\n";
    let read = |lines: &str, open| Exposition::read(lines, open);
    assert_eq!(read(&format!("{help}a_total 1\n"), false).unwrap().value("a_total"), 1.0);
    let hist = "# HELP h H.\n# TYPE h histogram\n";
    for (wrong, open) in [
        (format!("{help}a_total 1"), false),
        (format!("{help}a_total 1\n"), true),
        (format!("{help}a_total 1\n# EOF\n"), true),
        (format!("{help}a_total 1\n# EOF\n"), false),
        (format!("{help}a_total -1\n"), false),
        (format!("{help}a_total one\n"), false),
        (format!("{help}a_total infinity\n"), false),
        (format!("{help}a_total 1\na_total 1\n"), false),
        (format!("{help}b_total 1\n"), false),
        (format!("{help}a_total 1\n{help}a_total{{x=\"y\"}} 1\n"), false),
        (format!("{help}a_total{{x=\"y\"}} 1\na_total{{z=\"y\"}} 1\n"), false),
        (format!("{help}a_total{{x=\"y}} 1\n"), false),
        (format!("{help}a_total{{x=\"\\t\"}} 1\n"), false),
        (format!("{help}a_total{{x=\"a\",x=\"b\"}} 1\n"), false),
        (format!("{help}\na_total 1\n"), false),
        (help.to_owned(), false),
        ("a_total 1\n".to_owned(), false),
        (format!("{hist}h_bucket{{le=\"1\"}} 2\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n"), false),
        (format!("{hist}h_bucket{{le=\"1\"}} 1\nh_sum 1\nh_count 1\n"), false),
        (format!("{hist}h_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 2\n"), false),
    ] {
        assert!(read(&wrong, open).is_err(), "{wrong}");
    }
}
