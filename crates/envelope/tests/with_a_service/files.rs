use std::io::{self, Cursor, Read, Seek as _, SeekFrom, Write as _};

use claviger_envelope::file::{FileHeader, PAYLOAD_OFFSET, header_slots, rewrap_file_header};

use super::*;

async fn seal(envelopes: &Envelopes, plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    let sealer = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    let count = sealer.seal_stream(plaintext, &mut sealed, |_| {}).unwrap();
    assert_eq!(count, plaintext.len() as u64);
    sealed
}

async fn open(envelopes: &Envelopes, sealed: &[u8]) -> Result<Vec<u8>> {
    let mut sealed = Cursor::new(sealed);
    let header = FileHeader::read_from(&mut sealed)?;
    let opener = envelopes.open_file(&row("1"), &header).await?;
    let mut plaintext = Vec::new();
    opener.open_stream(sealed, &mut plaintext, |_| {})?;
    Ok(plaintext)
}

#[tokio::test]
async fn files_of_every_length_around_a_chunk_and_a_buffer_open_again() {
    let envelopes = envelopes();
    for length in [0, 1, 16_383, 16_384, 16_385, 131_071, 131_072, 131_073, 500_000] {
        let plaintext: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let sealed = seal(&envelopes, &plaintext).await;
        assert_eq!(open(&envelopes, &sealed).await.unwrap(), plaintext);
        let header = FileHeader::parse(&sealed).unwrap();
        let inspection = header.inspect((sealed.len() - PAYLOAD_OFFSET) as u64);
        assert_eq!(inspection.plaintext_length, Some(length as u64));
    }
}

#[tokio::test]
async fn a_new_file_has_the_same_header_in_both_slots() {
    let sealed = seal(&envelopes(), b"x").await;
    let [first, second] = header_slots(&sealed).unwrap().map(Option::unwrap);
    assert_eq!((first.sequence(), second.sequence()), (1, 2));
    assert_eq!(first.header(), second.header());
}

#[tokio::test]
async fn cut_lengthened_and_altered_files_are_rejected() {
    let envelopes = envelopes();
    let sealed = seal(&envelopes, &[5; 40_000]).await;
    let chunk = |number: usize| PAYLOAD_OFFSET + 56 + number * 16_400;
    for cut in
        [PAYLOAD_OFFSET, PAYLOAD_OFFSET + 55, chunk(1), chunk(2), chunk(2) + 15, sealed.len() - 1]
    {
        assert!(is_rejected(&open(&envelopes, &sealed[..cut]).await), "cut at {cut}");
    }
    for at in [PAYLOAD_OFFSET, PAYLOAD_OFFSET + 40, chunk(0), chunk(1) + 9, sealed.len() - 1] {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(is_rejected(&open(&envelopes, &altered).await), "byte {at}");
    }
    let mut swapped = sealed.clone();
    swapped[chunk(0)..chunk(1)].copy_from_slice(&sealed[chunk(1)..chunk(2)]);
    swapped[chunk(1)..chunk(2)].copy_from_slice(&sealed[chunk(0)..chunk(1)]);
    assert!(is_rejected(&open(&envelopes, &swapped).await));
    assert!(is_rejected(&open(&envelopes, &[sealed, vec![0]].concat()).await));
}

/// The invariant of the streaming reader, seen from here: what came out before the bad chunk was verified.
#[tokio::test]
async fn nothing_of_a_bad_chunk_comes_out() {
    let envelopes = envelopes();
    let mut sealed = seal(&envelopes, &[5; 40_000]).await;
    sealed[PAYLOAD_OFFSET + 56 + 16_400 + 3] ^= 1;
    let mut source = Cursor::new(sealed);
    let header = FileHeader::read_from(&mut source).unwrap();
    let opener = envelopes.open_file(&row("1"), &header).await.unwrap();
    let mut plaintext = Vec::new();
    assert!(is_rejected(&opener.open_stream(source, &mut plaintext, |_| {})));
    assert_eq!(plaintext, [5; 16_384]);
}

#[tokio::test]
async fn any_part_can_be_read_without_the_rest() {
    let envelopes = envelopes();
    let plaintext: Vec<u8> = (0..100_000_u32).map(|i| (i % 253) as u8).collect();
    let sealed = seal(&envelopes, &plaintext).await;
    let header = FileHeader::parse(&sealed).unwrap();
    let opener = envelopes.open_file(&row("1"), &header).await.unwrap();
    let mut reader = opener.seek_reader(Cursor::new(&sealed)).unwrap();
    assert_eq!(reader.len(), 100_000);
    reader.seek(SeekFrom::Start(70_001)).unwrap();
    let mut part = [0; 999];
    reader.read_exact(&mut part).unwrap();
    assert_eq!(part, plaintext[70_001..71_000]);
    let cut = Cursor::new(&sealed[..sealed.len() - 1]);
    assert!(is_rejected(&opener.seek_reader(cut)));
}

#[tokio::test]
async fn progress_counts_up_to_the_whole() {
    let mut steps = Vec::new();
    let sealer = envelopes().begin_file(&key(), &row("1")).await.unwrap();
    sealer.seal_stream(&[0; 300_000][..], io::sink(), |done| steps.push(done)).unwrap();
    assert!(steps.is_sorted() && steps.len() > 2);
    assert_eq!(steps.last(), Some(&300_000));
}

#[tokio::test]
async fn a_rewrap_in_place_moves_both_slots_and_not_the_payload() {
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    let sealed = seal(&envelopes, b"payload").await;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&sealed).unwrap();
    rotate(&service).await;

    let read = FileHeader::parse(&sealed).unwrap();
    let moved = envelopes.rewrap_header(&row("1"), read.header()).await.unwrap();
    let written = rewrap_file_header(&mut file, &read, &moved.header).unwrap();
    for slot in written.slots() {
        assert_eq!(slot.unwrap().header().key_version().unwrap().1.number(), 2);
    }
    let mut after = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut after).unwrap();
    assert_eq!(after[PAYLOAD_OFFSET..], sealed[PAYLOAD_OFFSET..]);
    assert_eq!(open(&envelopes, &after).await.unwrap(), b"payload");
}

#[tokio::test]
async fn another_context_or_another_files_payload_is_rejected() {
    let envelopes = envelopes();
    let (one, two) = (seal(&envelopes, b"one").await, seal(&envelopes, b"two").await);
    let header = FileHeader::parse(&one).unwrap();
    assert!(is_rejected(&envelopes.open_file(&row("2"), &header).await));
    let mixed = [&one[..PAYLOAD_OFFSET], &two[PAYLOAD_OFFSET..]].concat();
    assert!(is_rejected(&open(&envelopes, &mixed).await));
}

/// The highest resident memory of this process so far, in KiB (`VmHWM`). The tests run in a process each.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn sealing_and_opening_256_mib_together_take_less_than_1_mib_of_memory() {
    const LENGTH: u64 = 256 << 20;
    let envelopes = envelopes();
    let sealed = seal(&envelopes, &[0; 40_000]).await;
    open(&envelopes, &sealed).await.unwrap();
    let sealer = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    let (mut source, sink) = io::pipe().unwrap();
    let before = peak_memory();
    let sealing = std::thread::spawn(move || {
        sealer.seal_stream(io::repeat(7).take(LENGTH), sink, |_| {}).unwrap()
    });
    let header = FileHeader::read_from(&mut source).unwrap();
    let opener = envelopes.open_file(&row("1"), &header).await.unwrap();
    assert_eq!(opener.open_stream(source, io::sink(), |_| {}).unwrap(), LENGTH);
    assert_eq!(sealing.join().unwrap(), LENGTH);
    let taken = peak_memory() - before;
    assert!(taken < 1024, "{taken} KiB");
}

#[tokio::test]
async fn a_source_or_a_sink_that_fails_is_named() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let envelopes = envelopes();
    let message = |result: Result<u64>| result.unwrap_err().to_string();
    let sealer = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    let failed = message(sealer.seal_stream(Broken, Vec::new(), |_| {}));
    assert!(failed.starts_with("reading the plaintext failed"), "{failed}");
    let sealer = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    let failed = message(sealer.seal_stream(&b"x"[..], Broken, |_| {}));
    assert!(failed.starts_with("writing the envelope failed"), "{failed}");

    let sealed = seal(&envelopes, b"x").await;
    let header = FileHeader::parse(&sealed).unwrap();
    let opener = envelopes.open_file(&row("1"), &header).await.unwrap();
    let failed = message(opener.open_stream(Broken, Vec::new(), |_| {}));
    assert!(failed.starts_with("reading the envelope failed"), "{failed}");
    let failed = message(opener.open_stream(&sealed[PAYLOAD_OFFSET..], Broken, |_| {}));
    assert!(failed.starts_with("writing the plaintext failed"), "{failed}");
}
