//! A template as clients see it.

use xlfs_proto::v1 as pb;

use super::{Disk, HealthCheck, Network, Swap, Template};

impl Template {
    /// All but the digests and problems, which are the image store's to say.
    pub fn message(&self) -> pb::Template {
        pb::Template {
            name: self.name.clone(),
            version: self.version.clone(),
            summary: self.summary.clone(),
            description: self.description.clone(),
            kernel: self.kernel.clone(),
            ramdisk: self.ramdisk.clone().unwrap_or_default(),
            command_line: self.command_line.source().to_owned(),
            memory_mib: self.resources.memory_mib,
            memory_min_mib: self.resources.memory_min_mib,
            vcpus: self.resources.vcpus,
            vcpus_max: self.resources.vcpus_max,
            parameters: self
                .parameters
                .iter()
                .map(|(name, parameter)| parameter.message(name))
                .collect(),
            end_policy: Some(self.end_policy.into()),
            disks: self.disks.iter().map(|(name, disk)| disk.message(name)).collect(),
            swap: self.swap.as_ref().map(Swap::message),
            network: self.network.as_ref().map(Network::message),
            first_boot_steps: self.steps.iter().map(|step| step.name().to_owned()).collect(),
            services: self
                .services
                .iter()
                .map(|(name, what)| pb::OfferedService {
                    name: name.clone(),
                    description: what.clone(),
                })
                .collect(),
            health: self.health.iter().map(HealthCheck::message).collect(),
            ..pb::Template::default()
        }
    }
}

impl Disk {
    /// All but the image's digest.
    fn message(&self, name: &str) -> pb::TemplateDisk {
        pb::TemplateDisk {
            name: name.to_owned(),
            device: self.device.clone(),
            image: self.image.clone().unwrap_or_default(),
            image_digest: String::new(),
            size_mib: self.size_mib.unwrap_or_default(),
            size_min_mib: self.size_min_mib.unwrap_or_default(),
            pool: self.pool.clone().unwrap_or_default(),
        }
    }
}

impl Swap {
    fn message(&self) -> pb::TemplateSwap {
        pb::TemplateSwap {
            percent: self.percent,
            device: self.device.clone(),
            pool: self.pool.clone().unwrap_or_default(),
        }
    }
}

impl Network {
    fn message(&self) -> pb::TemplateNetwork {
        pb::TemplateNetwork { networks: self.networks.clone(), interfaces: self.interfaces.into() }
    }
}
