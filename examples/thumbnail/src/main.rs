//! Makes a smaller picture of a picture.
//!
//! Comes in: argument 1, a PNG or JPEG in the session's directory; argument 2,
//! the file to write, whose ending says which of the two it becomes; argument
//! 3, the longest side in pixels.
//! Goes out: the smaller picture, and its size as the job's result.
//!
//! Promise: a picture is never made larger, keeps its proportions, and one too
//! large for the job's memory is refused with a sentence instead of a trap.
#![allow(clippy::print_stdout, reason = "stdout is what a job answers with")]

use std::env;
use std::error::Error;
use std::fs;
use std::io::Cursor;
use std::process::ExitCode;

use image::DynamicImage;
use image::GenericImageView as _;
use image::ImageFormat;
use image::ImageReader;
use image::Limits;
use image::imageops::FilterType;
use sessile_guest::job;
use sessile_guest::session;

const USAGE: &str = "This job needs three arguments: the picture, the file to write, and the longest side in pixels.";

/// Half of what a job gets unless it asks for more: shrinking needs some too.
const DECODED_BYTES_MAX: u64 = 128 << 20;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match thumbnail(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn thumbnail(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [from, to, side] = args else {
        return Err(USAGE.into());
    };
    let format = format_of(to)?;
    let side = side_of(side)?;
    if !session::active() {
        return Err("This job needs a session with a picture in it: name one when you submit it.".into());
    }

    job::progress(0.0, "reading the picture");
    let bytes = fs::read(from).map_err(|error| format!("{from} cannot be read: {error}"))?;
    let large = decoded(&bytes).map_err(|error| format!("{from} is no picture that this job can read: {error}"))?;
    job::progress(0.5, "making it smaller");
    let small = shrunk(&large, side);
    job::progress(0.9, "writing the smaller picture");
    let bytes = encoded(&small, format).map_err(|error| format!("{to} cannot be made: {error}"))?;
    fs::write(to, &bytes).map_err(|error| format!("{to} cannot be written: {error}"))?;

    let ((old_width, old_height), (width, height)) = (large.dimensions(), small.dimensions());
    job::set_result(&format!(r#"{{"width":{width},"height":{height},"bytes":{}}}"#, bytes.len()))?;
    job::progress(1.0, "done");
    println!("{from}, {old_width} x {old_height}, became {to}, {width} x {height}.");
    Ok(())
}

/// PNG or JPEG, by the ending of the file's name.
fn format_of(name: &str) -> Result<ImageFormat, String> {
    let format = ImageFormat::from_path(name).ok();
    let known = format.filter(|format| matches!(format, ImageFormat::Png | ImageFormat::Jpeg));
    known.ok_or_else(|| format!("`{name}` must end in .png, .jpg or .jpeg."))
}

fn side_of(text: &str) -> Result<u32, String> {
    let side = text.parse().ok().filter(|side| (1..=10_000).contains(side));
    side.ok_or_else(|| format!("`{text}` must be a number of pixels from 1 to 10000."))
}

/// The picture in `bytes`, whatever its file is called.
fn decoded(bytes: &[u8]) -> Result<DynamicImage, image::ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    reader.decode()
}

fn shrunk(picture: &DynamicImage, side: u32) -> DynamicImage {
    let (width, height) = picture.dimensions();
    if width.max(height) <= side {
        return picture.clone();
    }
    picture.resize(side, side, FilterType::CatmullRom)
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Result<Vec<u8>, image::ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    match format {
        // JPEG knows neither transparency nor 16 bits.
        ImageFormat::Jpeg => picture.to_rgb8().write_to(&mut bytes, format)?,
        _ => picture.write_to(&mut bytes, format)?,
    }
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = include_bytes!("../picture.png");

    #[track_caller]
    fn check_size(side: u32, expected: (u32, u32)) {
        assert_eq!(shrunk(&decoded(PICTURE).unwrap(), side).dimensions(), expected);
    }

    #[test]
    fn a_picture_keeps_its_proportions_and_never_grows() {
        check_size(160, (160, 107));
        check_size(1, (1, 1));
        check_size(640, (640, 427));
        check_size(5_000, (640, 427));
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let small = shrunk(&decoded(PICTURE).unwrap(), 64);
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let bytes = encoded(&small, format).unwrap();
            assert_eq!(image::guess_format(&bytes).unwrap(), format);
            assert_eq!(decoded(&bytes).unwrap().dimensions(), small.dimensions());
        }
    }

    #[test]
    fn transparency_is_no_obstacle_for_jpeg() {
        let clear = DynamicImage::new_rgba8(8, 8);
        let bytes = encoded(&clear, ImageFormat::Jpeg).unwrap();
        assert_eq!(decoded(&bytes).unwrap().dimensions(), (8, 8));
    }

    /// Eight thousand pixels square are 192 MB, and a PNG of them is small.
    #[test]
    fn a_picture_too_large_for_the_memory_is_refused() {
        let bomb = encoded(&DynamicImage::new_rgb8(8_000, 8_000), ImageFormat::Png).unwrap();
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(decoded(&bomb), Err(image::ImageError::Limits(_))));
    }

    #[test]
    fn a_text_is_no_picture() {
        assert!(decoded(b"<svg/>").is_err());
    }

    #[track_caller]
    fn check_refusal(args: &[&str], expected: &str) {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        assert_eq!(thumbnail(&args).unwrap_err().to_string(), expected);
    }

    #[test]
    fn wrong_arguments_are_named() {
        check_refusal(&["picture.png"], USAGE);
        check_refusal(&["a.png", "b.gif", "10"], "`b.gif` must end in .png, .jpg or .jpeg.");
        check_refusal(&["a.png", "b.jpg", "0"], "`0` must be a number of pixels from 1 to 10000.");
        check_refusal(
            &["a.png", "b.jpg", "10"],
            "This job needs a session with a picture in it: name one when you submit it.",
        );
    }
}
