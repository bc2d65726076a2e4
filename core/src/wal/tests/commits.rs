use super::*;

#[test]
fn what_gathers_during_a_sync_shares_the_next_one() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.says("write 1.seg @64 +72: frame 1..2 + sync");
    for _ in 0..3 {
        bench.put(10).unwrap();
        bench.submit();
    }
    bench.says("");
    bench.done("write");
    bench.says("durable 1");
    bench.submit();
    bench.says("write 1.seg @136 +136: frame 2..5 + sync");
    bench.done("write");
    bench.says("durable 4");
    bench.submit();
    bench.says("");
}
