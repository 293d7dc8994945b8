//! Memory for keys: one mapping made at start, locked, left out of core dumps, wiped when freed.
//!
//! Invariants: a key lies in its slot only between [`Arena::write`] and [`Arena::wipe`]; the mapping is
//! never grown, moved or swapped while it is locked. `memfd_secret(2)` (Linux 5.14) is used where it
//! is there: it hides the pages from `/proc/PID/mem` and from the kernel's own mappings too. Else
//! `mlock` with `MADV_DONTDUMP`, which hides them from swap and core dumps only. Which of them is in
//! force is in the health report.

#![expect(unsafe_code, reason = "maps, locks and unmaps memory; every slot is bounds-checked")]

use std::{fmt, io, ptr::NonNull, sync::atomic};

use claviger_kms::SecretKey;
use serde::Serialize;

/// How the memory of keys is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MemoryProtection {
    /// `memfd_secret`: not in swap, core dumps or `/proc/PID/mem`.
    SecretMemory,
    /// `mlock`: not in swap or core dumps.
    Locked,
    /// The operating system refused to lock: may be swapped out.
    NotLocked,
}

/// A fixed number of 32-byte slots.
pub(crate) struct Arena {
    base: NonNull<u8>,
    bytes: usize,
    slots: usize,
    protection: MemoryProtection,
}

// SAFETY: the mapping belongs to the arena alone and is reached only through `&self` (reading) and
// `&mut self` (writing), so the usual borrowing rules hold across threads.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps room for `slots` keys.
    ///
    /// # Errors
    /// The operating system's, when no memory can be mapped at all.
    pub(crate) fn map(slots: usize) -> io::Result<Self> {
        let bytes = slots
            .checked_mul(SecretKey::LENGTH)
            .filter(|&bytes| bytes > 0)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (base, protection) = match map_secret(bytes) {
            Ok(base) => (base, MemoryProtection::SecretMemory),
            Err(_) => map_locked(bytes)?,
        };
        Ok(Self { base, bytes, slots, protection })
    }

    pub(crate) fn protection(&self) -> MemoryProtection {
        self.protection
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Looks at the key in a slot.
    pub(crate) fn read<R>(
        &self,
        slot: usize,
        look: impl FnOnce(&[u8; SecretKey::LENGTH]) -> R,
    ) -> R {
        // SAFETY: `at` is inside the mapping; the slot is aligned for bytes and initialised (the
        // mapping is zero-filled); `&self` excludes writers for as long as the reference lives.
        look(unsafe { self.at(slot).cast::<[u8; SecretKey::LENGTH]>().as_ref() })
    }

    /// Fills a slot in place.
    pub(crate) fn write(&mut self, slot: usize, fill: impl FnOnce(&mut [u8; SecretKey::LENGTH])) {
        // SAFETY: as in `read`, and `&mut self` excludes every other reference.
        fill(unsafe { self.at(slot).cast::<[u8; SecretKey::LENGTH]>().as_mut() });
    }

    /// Overwrites a slot with zeros.
    pub(crate) fn wipe(&mut self, slot: usize) {
        self.write(slot, zeroize::Zeroize::zeroize);
    }

    fn at(&self, slot: usize) -> NonNull<u8> {
        assert!(slot < self.slots, "slot {slot} of an arena of {}", self.slots);
        // SAFETY: slot < slots, so the offset stays inside the mapping of slots * 32 bytes.
        unsafe { self.base.add(slot * SecretKey::LENGTH) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for slot in 0..self.slots {
            self.wipe(slot);
        }
        atomic::compiler_fence(atomic::Ordering::SeqCst);
        // SAFETY: the mapping was made by `map` with this length and nothing refers to it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("slots", &self.slots)
            .field("protection", &self.protection)
            .finish_non_exhaustive()
    }
}

fn map_secret(bytes: usize) -> io::Result<NonNull<u8>> {
    let length =
        libc::off_t::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the call takes one flag word and returns a descriptor or -1.
    let descriptor = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let descriptor = libc::c_int::try_from(descriptor)
        .ok()
        .filter(|&fd| fd >= 0)
        .ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor is ours; it is closed below whatever happens, the mapping keeps the memory.
    let sized = unsafe { libc::ftruncate(descriptor, length) } == 0;
    let mapped = if sized {
        map(bytes, libc::MAP_SHARED, descriptor)
    } else {
        Err(io::Error::last_os_error())
    };
    // SAFETY: closes the descriptor opened above, once.
    unsafe { libc::close(descriptor) };
    let base = mapped?;
    // RLIMIT_MEMLOCK was checked by mmap. Touching every page now takes its memory while a lack of it
    // still ends a start rather than a running service.
    // SAFETY: writes exactly the mapping made above, which nothing refers to yet.
    unsafe { base.as_ptr().write_bytes(0, bytes) };
    // SAFETY: advises on exactly the mapping made above; a forked child must not find the keys.
    if unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_DONTFORK) } != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: the mapping made above, unused so far.
        unsafe { libc::munmap(base.as_ptr().cast(), bytes) };
        return Err(error);
    }
    Ok(base)
}

fn map_locked(bytes: usize) -> io::Result<(NonNull<u8>, MemoryProtection)> {
    let base = map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: advises on exactly the mapping made above: no core dump, not in a forked child.
    let hidden = unsafe {
        libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_DONTDUMP)
            | libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_DONTFORK)
    };
    // SAFETY: locks exactly the mapping made above.
    let locked = unsafe { libc::mlock(base.as_ptr().cast(), bytes) };
    let protection = if locked == 0 && hidden == 0 {
        MemoryProtection::Locked
    } else {
        MemoryProtection::NotLocked
    };
    Ok((base, protection))
}

fn map(bytes: usize, flags: libc::c_int, descriptor: libc::c_int) -> io::Result<NonNull<u8>> {
    // SAFETY: asks for a new mapping anywhere; touches no memory that exists.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            descriptor,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_its_bytes_until_wiped() {
        let mut arena = Arena::map(3).unwrap();
        arena.write(1, |key| key.fill(7));
        assert_eq!(arena.read(1, |key| *key), [7; 32]);
        assert_eq!(arena.read(0, |key| *key), [0; 32]);
        assert_eq!(arena.read(2, |key| *key), [0; 32]);
        arena.wipe(1);
        assert_eq!(arena.read(1, |key| *key), [0; 32]);
    }

    #[test]
    #[should_panic(expected = "slot 3 of an arena of 3")]
    fn a_slot_past_the_end_is_never_touched() {
        Arena::map(3).unwrap().read(3, |_| ());
    }

    #[test]
    fn an_arena_without_slots_is_refused() {
        assert!(Arena::map(0).is_err());
    }

    /// With a positive control: the same search finds a key on the ordinary heap.
    #[test]
    fn secret_memory_is_not_in_proc_mem() {
        use std::os::unix::fs::FileExt as _;
        let mut arena = Arena::map(1).unwrap();
        arena.write(0, |key| key.fill(0x5A));
        if arena.protection() != MemoryProtection::SecretMemory {
            println!("SKIP memfd_secret is not available here: {:?}", arena.protection());
            return;
        }
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut window = [0; 8];
        let control = Box::new([0x5A_u8; 32]);
        memory.read_exact_at(&mut window, control.as_ptr().addr() as u64).unwrap();
        assert_eq!(window, [0x5A; 8]);
        let read = memory.read_exact_at(&mut window, arena.base.as_ptr().addr() as u64);
        assert!(read.is_err(), "the key could be read through /proc/self/mem");
    }
}
