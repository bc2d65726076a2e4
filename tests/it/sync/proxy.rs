//! A bad line: what passes between two nodes is cut, held, slowed, delayed or torn off in the middle.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::records::Dice;

/// What becomes of bytes on their way, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// They pass.
    Clear,
    /// Connections are ended, and new ones too.
    Cut,
    /// Nothing passes, and nothing is said.
    Hole,
    /// So many pass in a second, in each direction.
    Slow(u32),
    /// Each piece comes late by this.
    Late(Duration),
    /// Every connection is reset in the middle of something, each direction after about as many bytes.
    Torn(u32),
}

struct Line {
    to: String,
    weather: Mutex<Weather>,
    changed: Condvar,
    /// Both ends of every connection.
    open: Mutex<Vec<TcpStream>>,
    resets: Mutex<u32>,
    ended: Mutex<bool>,
}

/// A line to one address, from an address of its own.
pub(super) struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
}

impl Proxy {
    /// A line that leads to this address.
    pub(super) fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address_here = listener.local_addr().unwrap();
        let line = Arc::new(Line {
            to: address.to_owned(),
            weather: Mutex::new(Weather::Clear),
            changed: Condvar::new(),
            open: Mutex::default(),
            resets: Mutex::default(),
            ended: Mutex::default(),
        });
        let serving = line.clone();
        thread::spawn(move || serving.serve(&listener));
        Self { address: address_here, line }
    }

    /// Where the line begins.
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn set(&self, weather: Weather) {
        *lock(&self.line.weather) = weather;
        if weather == Weather::Cut {
            self.line.cut();
        }
        self.line.changed.notify_all();
    }

    /// How often a connection was reset in the middle of something.
    pub(super) fn resets(&self) -> u32 {
        *lock(&self.line.resets)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        *lock(&self.line.ended) = true;
        self.set(Weather::Cut);
        // Wakes the thread that takes connections.
        drop(TcpStream::connect(self.address));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Line {
    fn serve(self: &Arc<Self>, listener: &TcpListener) {
        let mut connections = 0;
        for near in listener.incoming() {
            let near = near.unwrap();
            if *lock(&self.ended) {
                return;
            }
            if *lock(&self.weather) == Weather::Cut {
                continue;
            }
            // Nobody listens there at present: the near end is ended as well.
            let Ok(far) = TcpStream::connect(&self.to) else { continue };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            lock(&self.open).extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (line, from, to) = (self.clone(), from.try_clone().unwrap(), to.try_clone().unwrap());
                connections += 1;
                let dice = Dice::of(connections);
                thread::spawn(move || line.pass(&from, &to, dice));
            }
        }
    }

    fn cut(&self) {
        for end in lock(&self.open).drain(..) {
            // It may have ended already.
            drop(end.shutdown(Shutdown::Both));
        }
    }

    /// Moves bytes until either end ends.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream, mut dice: Dice) {
        let mut piece = [0; 16 << 10];
        let mut passed = 0;
        let tear_after = |around: u32, dice: &mut Dice| around / 2 + dice.next() % around.max(1);
        let mut tear_at = None;
        loop {
            // Never more than a tenth of a second's worth at once.
            let room = match *lock(&self.weather) {
                Weather::Slow(rate) => (rate as usize / 10).clamp(1, piece.len()),
                _ => piece.len(),
            };
            let count = match from.read(&mut piece[..room]) {
                Ok(count @ 1..) => count,
                _ => break,
            };
            match self.weather_for_bytes() {
                Weather::Slow(rate) => thread::sleep(Duration::from_secs_f64(count as f64 / f64::from(rate))),
                Weather::Late(by) => thread::sleep(by),
                Weather::Torn(around) => {
                    let tear_at = *tear_at.get_or_insert_with(|| passed + tear_after(around, &mut dice) as usize);
                    if passed + count > tear_at {
                        // Half of what was on its way arrives; it may have nobody to arrive at.
                        drop(to.write_all(&piece[..count / 2]));
                        return self.tear(from, to);
                    }
                }
                Weather::Clear | Weather::Hole | Weather::Cut => {}
            }
            passed += count;
            if to.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        for end in [from, to] {
            drop(end.shutdown(Shutdown::Both));
        }
    }

    /// The present weather, as soon as anything may pass.
    fn weather_for_bytes(&self) -> Weather {
        let weather = lock(&self.weather);
        *self.changed.wait_while(weather, |weather| *weather == Weather::Hole).unwrap()
    }

    /// Ends both ends the hard way: what is unread is lost, and the other side hears of an error.
    fn tear(&self, from: &TcpStream, to: &TcpStream) {
        *lock(&self.resets) += 1;
        let mut open = lock(&self.open);
        for end in [from, to] {
            set_socket_linger(end, Some(Duration::ZERO)).expect("it is open");
            let address = end.peer_addr().ok();
            drop(end.shutdown(Shutdown::Read));
            // A socket is reset when its last handle is closed.
            open.retain(|other| other.peer_addr().ok() != address);
        }
    }
}
