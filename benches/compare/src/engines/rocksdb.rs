//! RocksDB as the system has it: `librocksdb` is loaded while the program runs, so that building needs no C++ compiler
//! and machines without it only miss this column. The C API (`rocksdb/c.h`) has been stable for the calls used here since 5.0.
#![allow(unsafe_code, reason = "calls into a C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, OnceLock};

use libloading::Library;

use crate::engine::{Engine, Fault, Key, Promise};

type Handle = *mut c_void;

macro_rules! calls {
    ($($name:ident: fn($($arg:ty),*) $(-> $out:ty)?;)*) => {
        /// The functions of the library that are used here.
        struct Calls { $($name: unsafe extern "C" fn($($arg),*) $(-> $out)?,)* _library: Library }

        impl Calls {
            fn load(library: Library) -> Result<Self, Fault> {
                // SAFETY: the types are those of `rocksdb/c.h`; the library lives as long as the pointers do.
                unsafe {
                    Ok(Self {
                        $($name: *library.get(concat!("rocksdb_", stringify!($name), "\0").as_bytes())?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}

calls! {
    options_create: fn() -> Handle;
    options_set_create_if_missing: fn(Handle, c_uchar);
    options_increase_parallelism: fn(Handle, c_int);
    options_destroy: fn(Handle);
    open: fn(Handle, *const c_char, *mut *mut c_char) -> Handle;
    close: fn(Handle);
    writeoptions_create: fn() -> Handle;
    writeoptions_set_sync: fn(Handle, c_uchar);
    writeoptions_destroy: fn(Handle);
    readoptions_create: fn() -> Handle;
    readoptions_destroy: fn(Handle);
    put: fn(Handle, Handle, *const c_char, usize, *const c_char, usize, *mut *mut c_char);
    get: fn(Handle, Handle, *const c_char, usize, *mut usize, *mut *mut c_char) -> *mut c_char;
    writebatch_create: fn() -> Handle;
    writebatch_put: fn(Handle, *const c_char, usize, *const c_char, usize);
    writebatch_destroy: fn(Handle);
    write: fn(Handle, Handle, Handle, *mut *mut c_char);
    create_iterator: fn(Handle, Handle) -> Handle;
    iter_destroy: fn(Handle);
    iter_seek: fn(Handle, *const c_char, usize);
    iter_valid: fn(Handle) -> c_uchar;
    iter_next: fn(Handle);
    iter_value: fn(Handle, *mut usize) -> *const c_char;
    free: fn(*mut c_void);
}

static CALLS: OnceLock<Result<(Calls, &'static str), String>> = OnceLock::new();

fn load() -> Result<(Calls, &'static str), String> {
    let mut last = String::new();
    for (name, version) in [
        ("librocksdb.so", "of the system"),
        ("librocksdb.so.10", "10"),
        ("librocksdb.so.9", "9"),
        ("librocksdb.so.8.9", "8.9"),
        ("librocksdb.so.7.8", "7.8"),
        ("librocksdb.dylib", "of the system"),
    ] {
        // SAFETY: RocksDB's initialisers have no precondition.
        match unsafe { Library::new(name) } {
            Ok(library) => return Ok((Calls::load(library).map_err(|error| error.to_string())?, version)),
            Err(error) => last = error.to_string(),
        }
    }
    Err(format!("the system has no librocksdb ({last}); on Debian: apt install librocksdb7.8"))
}

/// The version of the system's library.
///
/// # Errors
/// Why there is none.
pub(super) fn find() -> Result<&'static str, String> {
    CALLS.get_or_init(load).as_ref().map(|(_, version)| *version).map_err(Clone::clone)
}

struct Rocks {
    calls: &'static Calls,
    database: Handle,
    write: Handle,
    read: Handle,
}

// SAFETY: the database and both option objects may be used from any thread, several at a time; the options are not
// changed after they were made.
unsafe impl Send for Rocks {}
// SAFETY: as above.
unsafe impl Sync for Rocks {}

fn check(calls: &Calls, error: *mut c_char) -> Result<(), Fault> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the library hands out a string that ends with a zero and that the caller has to free.
    let text = unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned();
    // SAFETY: as above; it is not used again.
    unsafe { (calls.free)(error.cast()) };
    Err(format!("RocksDB: {text}").into())
}

pub(super) fn open(dir: &Path, promise: Promise) -> Result<Arc<dyn Engine>, Fault> {
    let (calls, _) = CALLS.get_or_init(load).as_ref().map_err(Clone::clone)?;
    let path = CString::new(dir.join("rocks").into_os_string().into_vec())?;
    let mut error = ptr::null_mut();
    // SAFETY: every pointer comes from the library or outlives the call.
    let (database, write, read) = unsafe {
        let options = (calls.options_create)();
        (calls.options_set_create_if_missing)(options, 1);
        (calls.options_increase_parallelism)(options, 2);
        let database = (calls.open)(options, path.as_ptr(), &raw mut error);
        (calls.options_destroy)(options);
        check(calls, error)?;
        let write = (calls.writeoptions_create)();
        (calls.writeoptions_set_sync)(write, c_uchar::from(promise == Promise::Synced));
        (database, write, (calls.readoptions_create)())
    };
    Ok(Arc::new(Rocks { calls, database, write, read }))
}

impl Drop for Rocks {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handles any more.
        unsafe {
            (self.calls.writeoptions_destroy)(self.write);
            (self.calls.readoptions_destroy)(self.read);
            (self.calls.close)(self.database);
        }
    }
}

impl Engine for Rocks {
    fn put(&self, key: Key, value: &[u8]) -> Result<(), Fault> {
        let mut error = ptr::null_mut();
        // SAFETY: key and value outlive the call, which copies them.
        unsafe {
            (self.calls.put)(
                self.database,
                self.write,
                key.as_ptr().cast(),
                key.len(),
                value.as_ptr().cast(),
                value.len(),
                &raw mut error,
            );
        }
        check(self.calls, error)
    }

    fn put_all(&self, pairs: &[(Key, Vec<u8>)]) -> Result<(), Fault> {
        let mut error = ptr::null_mut();
        // SAFETY: as in `put`; the batch is destroyed after its only use.
        unsafe {
            let batch = (self.calls.writebatch_create)();
            for (key, value) in pairs {
                let (k, v) = (key.as_ptr().cast(), value.as_ptr().cast());
                (self.calls.writebatch_put)(batch, k, key.len(), v, value.len());
            }
            (self.calls.write)(self.database, self.write, batch, &raw mut error);
            (self.calls.writebatch_destroy)(batch);
        }
        check(self.calls, error)
    }

    fn get(&self, key: Key) -> Result<Option<usize>, Fault> {
        let (mut error, mut len) = (ptr::null_mut(), 0);
        // SAFETY: as in `put`.
        let value = unsafe {
            (self.calls.get)(self.database, self.read, key.as_ptr().cast(), key.len(), &raw mut len, &raw mut error)
        };
        check(self.calls, error)?;
        if value.is_null() {
            return Ok(None);
        }
        // SAFETY: the library handed out `len` bytes, which the caller has to free.
        let read = crate::work::touch(unsafe { std::slice::from_raw_parts(value.cast(), len) });
        // SAFETY: as above; not used again.
        unsafe { (self.calls.free)(value.cast()) };
        Ok(Some(read))
    }

    fn scan(&self, from: Key, count: usize) -> Result<usize, Fault> {
        let mut seen = 0;
        // SAFETY: the iterator is used by this thread alone and destroyed at the end; a value is read before the
        // iterator moves on.
        unsafe {
            let iterator = (self.calls.create_iterator)(self.database, self.read);
            (self.calls.iter_seek)(iterator, from.as_ptr().cast(), from.len());
            while seen < count && (self.calls.iter_valid)(iterator) != 0 {
                let mut len = 0;
                let value = (self.calls.iter_value)(iterator, &raw mut len);
                seen += usize::from(crate::work::touch(std::slice::from_raw_parts(value.cast(), len)) > 0);
                (self.calls.iter_next)(iterator);
            }
            (self.calls.iter_destroy)(iterator);
        }
        Ok(seen)
    }
}
