//! What `lvs` and `vgs` answer with `--reportformat json --units b --nosuffix`:
//! every value is text. Source: lvmreport(7), lvs(8).

use serde::Deserialize;
use serde::de::{self, Deserializer};

#[derive(Debug, Deserialize)]
struct Document {
    report: Vec<Rows>,
}

#[derive(Debug, Deserialize)]
struct Rows {
    #[serde(default)]
    lv: Vec<Lv>,
    #[serde(default)]
    vg: Vec<Vg>,
}

/// A logical volume.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Lv {
    pub(super) lv_name: String,
    /// Bytes.
    #[serde(deserialize_with = "number")]
    pub(super) lv_size: u64,
    lv_attr: String,
    lv_tags: String,
    /// Of a thin volume or pool that is active: how much of it is in use.
    data_percent: String,
    pub(super) pool_lv: String,
}

impl Lv {
    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.tags().any(|known| known == tag)
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = &str> {
        self.lv_tags.split(',')
    }

    pub(super) fn is_thin_pool(&self) -> bool {
        self.attribute(0) == Some(b't')
    }

    pub(super) fn is_thin(&self) -> bool {
        self.attribute(0) == Some(b'V')
    }

    pub(super) fn is_active(&self) -> bool {
        self.attribute(4) == Some(b'a')
    }

    /// Somebody has its device open, if only to look.
    pub(super) fn is_open(&self) -> bool {
        self.attribute(5) == Some(b'o')
    }

    /// A thin pool that clears a block before a volume gets it.
    pub(super) fn zeros_new_blocks(&self) -> bool {
        self.attribute(7) == Some(b'z')
    }

    /// Bytes of it that are in use: of a thin one a share, else all.
    pub(super) fn allocated(&self) -> u64 {
        match self.data_percent.parse::<f64>() {
            // With two digits after the point it is no more exact than this.
            Ok(percent) => (self.lv_size as f64 * percent.clamp(0.0, 100.0) / 100.0) as u64,
            Err(_) => self.lv_size,
        }
    }

    fn attribute(&self, index: usize) -> Option<u8> {
        self.lv_attr.as_bytes().get(index).copied()
    }
}

/// A volume group. In bytes.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Vg {
    #[serde(deserialize_with = "number")]
    pub(super) vg_size: u64,
    #[serde(deserialize_with = "number")]
    pub(super) vg_free: u64,
    /// Logical volumes are whole multiples of it.
    #[serde(deserialize_with = "number")]
    pub(super) vg_extent_size: u64,
}

/// The rows of `lvs`.
pub(super) fn volumes(text: &str) -> Result<Vec<Lv>, serde_json::Error> {
    let document: Document = serde_json::from_str(text)?;
    Ok(document.report.into_iter().flat_map(|rows| rows.lv).collect())
}

/// The row of `vgs` about one group.
pub(super) fn group(text: &str) -> Result<Vg, serde_json::Error> {
    let document: Document = serde_json::from_str(text)?;
    let row = document.report.into_iter().flat_map(|rows| rows.vg).next();
    row.filter(|vg| vg.vg_extent_size > 0)
        .ok_or_else(|| de::Error::custom("it does not say anything about the group"))
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The first as lvm 2.03.16 printed it; the others in its words (lvs(8)).
    const VOLUMES: &str = r#"  {
      "report": [
          {
              "lv": [
                  {"lv_name":"xlfs-b", "lv_size":"33554432", "lv_attr":"-wi-a-----", "lv_tags":"xlfs,xlfs.zero-from.12288", "data_percent":"", "pool_lv":""},
                  {"lv_name":"tp", "lv_size":"41943040", "lv_attr":"twi-aotz--", "lv_tags":"", "data_percent":"25.50", "pool_lv":""},
                  {"lv_name":"bare", "lv_size":"41943040", "lv_attr":"twi-aot---", "lv_tags":"", "data_percent":"0.00", "pool_lv":""},
                  {"lv_name":"xlfs-c", "lv_size":"100663296", "lv_attr":"Vwi-aotz--", "lv_tags":"xlfs", "data_percent":"10.00", "pool_lv":"tp"},
                  {"lv_name":"off", "lv_size":"100663296", "lv_attr":"Vwi---tz--", "lv_tags":"", "data_percent":"", "pool_lv":"tp"}
              ]
          }
      ]
  }
"#;

    #[test]
    fn reads_what_lvs_says() {
        let lvs = volumes(VOLUMES).unwrap();
        let seen: Vec<_> = lvs
            .iter()
            .map(|lv| (lv.lv_name.as_str(), lv.allocated(), lv.is_thin_pool(), lv.is_thin()))
            .collect();
        assert_eq!(
            seen,
            [
                ("xlfs-b", 33_554_432, false, false),
                ("tp", 10_695_475, true, false),
                ("bare", 0, true, false),
                ("xlfs-c", 10_066_329, false, true),
                ("off", 100_663_296, false, true),
            ]
        );
        let open: Vec<_> = lvs.iter().map(|lv| (lv.is_active(), lv.is_open())).collect();
        assert_eq!(open, [(true, false), (true, true), (true, true), (true, true), (false, false)]);
        assert!(lvs[1].zeros_new_blocks() && !lvs[2].zeros_new_blocks());
        assert!(lvs[0].has_tag("xlfs") && !lvs[0].has_tag("xlf") && !lvs[1].has_tag("xlfs"));
    }

    #[test]
    fn reads_what_vgs_says() {
        let text = r#"{"report": [{"vg": [
            {"vg_size":"205520896", "vg_free":"192937984", "vg_extent_size":"4194304"}]}]}"#;
        let vg = group(text).unwrap();
        assert_eq!(
            (vg.vg_size, vg.vg_free, vg.vg_extent_size),
            (205_520_896, 192_937_984, 4 << 20)
        );
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in [
            "",
            "{}",
            r#"{"report":[{"vg":[]}]}"#,
            r#"{"report":[{"vg":[{"vg_size":"1","vg_free":"1","vg_extent_size":"0"}]}]}"#,
            r#"{"report":[{"vg":[{"vg_size":"1.5g","vg_free":"1","vg_extent_size":"1"}]}]}"#,
        ] {
            assert!(group(text).is_err(), "{text}");
        }
        assert!(volumes("{}").is_err());
        assert!(volumes(r#"{"report":[{"lv":[{"lv_name":"x"}]}]}"#).is_err());
        assert!(volumes(r#"{"report":[{"lv":[]}]}"#).unwrap().is_empty());
    }
}
