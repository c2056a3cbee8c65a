//! `image`: the store of kernels, ramdisks and disks.

mod import;

pub(crate) use import::{open, send, show_progress};

use clap::{Args, Subcommand};
use xlfs_proto::v1::{DeleteImageRequest, GetImageRequest, Image as Stored, ListImagesRequest};

pub(super) use import::import_disk;

use super::{Session, answer};
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::facts::Facts;
use crate::output::table::{Align, Table};
use crate::output::text::plain;
use crate::output::view::image::{DeletedView, ImageView, ImagesView, kind_word};
use crate::output::{Output, failure, time};

/// Kernels, ramdisks and disks: import, list, show, delete.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    Import(import::Import),
    List(List),
    Show(Show),
    Delete(Delete),
}

/// List the images.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Show everything about an image.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// An alias, a digest, or the first 8 or more digits of one.
    #[arg(value_name = "IMAGE", add = complete::images())]
    reference: String,
}

/// Delete images that no guest uses.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Aliases, digests, or the first 8 or more digits of them.
    #[arg(required = true, value_name = "IMAGE", add = complete::images())]
    references: Vec<String>,
    /// Print what it would delete, and delete nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Image {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Image::Import(args) => args.run(session).await,
            Image::List(List {}) => list(session).await,
            Image::Show(args) => show(session, args.reference).await,
            Image::Delete(args) => delete(session, args).await,
        }
    }
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let output = &session.output;
    let mut store = session.daemon().await?.images();
    let call = store.list_images(ListImagesRequest {});
    let mut images = answer(call).await.context(|| "cannot list the images".to_owned())?.images;
    images.sort_by(|a, b| (a.kind, &a.aliases, &a.digest).cmp(&(b.kind, &b.aliases, &b.digest)));
    if !output.is_table() {
        let images = images.iter().map(ImageView::from).collect();
        output.document(&ImagesView { images })?;
    } else if output.quiet {
        let digests: String = images.iter().map(|image| plain(&image.digest) + "\n").collect();
        output.text(&digests)?;
    } else if images.is_empty() {
        output.note("There are no images. Import one: xlfsctl image import FILE --kind kernel");
    } else {
        output.text(&table(&images, output))?;
    }
    Ok(Exit::Ok)
}

async fn show(session: &Session, reference: String) -> Result<Exit, Failure> {
    let tried = format!("cannot show image \"{reference}\"");
    let mut store = session.daemon().await?.images();
    let call = store.get_image(GetImageRequest { reference });
    let image = answer(call).await.context(|| tried)?;
    match session.output.is_table() {
        true => session.output.text(&facts(&image, &session.output))?,
        false => session.output.document(&ImageView::from(&image))?,
    }
    Ok(Exit::Ok)
}

async fn delete(session: &Session, args: Delete) -> Result<Exit, Failure> {
    let (output, dry_run) = (&session.output, args.dry_run);
    let mut images = session.daemon().await?.images();
    let mut exit = Exit::Ok;
    let mut deleted = Vec::new();
    for reference in args.references {
        let tried = format!("cannot delete image \"{reference}\"");
        let request = DeleteImageRequest { reference, dry_run };
        match images.delete_image(request).await.context(|| tried) {
            Ok(reply) => deleted.extend(reply.into_inner().image),
            Err(failure) => {
                failure::report(output.format, &failure);
                if exit == Exit::Ok {
                    exit = failure.exit();
                }
            }
        }
    }
    if !output.is_table() {
        let deleted = deleted.iter().map(ImageView::from).collect();
        output.document(&DeletedView { deleted, dry_run })?;
        return Ok(exit);
    }
    for image in &deleted {
        let name = one_line(image);
        match dry_run {
            true => output.text(&format!("would delete {name}\n"))?,
            false => output.note(&format!("deleted {name}")),
        }
    }
    Ok(exit)
}

/// An image in a few words: kind, first alias, start of the digest.
fn one_line(image: &Stored) -> String {
    let alias = image.aliases.first().map(|alias| format!(" \"{alias}\"")).unwrap_or_default();
    let digest: String = image.digest.chars().take(12).collect();
    plain(&format!("{}{alias}, {digest}, {}", kind_word(image.kind()), size(image.size)))
}

fn table(images: &[Stored], output: &Output) -> String {
    let mut table = Table::new(&[
        ("ALIAS", Align::Elastic),
        ("KIND", Align::Left),
        ("DIGEST", Align::Left),
        ("SIZE", Align::Right),
        ("AGE", Align::Right),
        ("USED BY", Align::Elastic),
    ]);
    for image in images {
        let age = image.imported.as_ref().and_then(time::age);
        let digest: String = image.digest.chars().take(12).collect();
        table.row([
            or_dash(image.aliases.join(",")).into(),
            kind_word(image.kind()).into(),
            digest.into(),
            size(image.size).into(),
            or_dash(age.unwrap_or_default()).into(),
            or_dash(image.used_by.join(",")).into(),
        ]);
    }
    table.render(output.width, output.colour)
}

fn facts(image: &Stored, output: &Output) -> String {
    let mut facts = Facts::new(output, &one_line(image));
    facts.fact("Digest", &image.digest);
    facts.many("Alias", image.aliases.iter().cloned());
    facts.fact("Size", format!("{} bytes", image.size));
    facts.fact("Imported", image.imported.as_ref().and_then(time::for_people).unwrap_or_default());
    facts.fact("From", &image.origin);
    facts.fact("Inside", &image.summary);
    let unused = vec!["no guest".to_owned()];
    facts.many("Used by", if image.used_by.is_empty() { unused } else { image.used_by.clone() });
    facts.into_text()
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Bytes for people: `812 B`, `7.9 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        assert_eq!(size(812), "812 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(8_294_400), "7.9 MiB");
        assert_eq!(size(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
    }
}
