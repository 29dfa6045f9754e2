// SPDX-License-Identifier: GPL-2.0
/*
 * The layout of a NIC in switchdev mode, put onto a NIC that has no such mode.
 *
 * Given the PCI address of a physical function (PF) that has a network device, this module
 *
 *  - gives that device the role of the uplink: phys_switch_id, and phys_port_name "p<port>";
 *  - adds a representor for each of "vfs" virtual functions: a network device named like its
 *    phys_port_name, "pf<port>vf<n>", child of the PF in sysfs, with the same phys_switch_id;
 *  - adds its far end for each representor, "pf<port>vf<n>-far": what is sent into one comes out of
 *    the other. On real hardware the far end is the VF itself; here it is a device that a test can
 *    listen on.
 *
 * The names and their formats are those of Documentation/networking/switchdev.rst.
 *
 * Remove this module before the PF's driver is unbound.
 */

#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>

static char *pf;
module_param(pf, charp, 0444);
MODULE_PARM_DESC(pf, "PCI address of the physical function, such as 0000:01:00.0");

static unsigned int vfs = 7;
module_param(vfs, uint, 0444);
MODULE_PARM_DESC(vfs, "number of representors");

static unsigned int port;
module_param(port, uint, 0444);
MODULE_PARM_DESC(port, "number of the physical port, as in p<port> and pf<port>vf<n>");

static struct pci_dev *pf_pci;
static struct net_device *uplink;
static const struct net_device_ops *uplink_own_ops;
static struct net_device_ops uplink_ops;
static struct net_device **ports; /* representors at even, far ends at odd places */
static struct netdev_phys_item_id switch_id;

struct end {
	struct net_device *other;
	unsigned int vf;
};

static netdev_tx_t end_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct end *end = netdev_priv(dev);
	unsigned int length = skb->len;

	/* The other end's receive queue, not its receive path: no recursion, however ends are joined. */
	if (dev_forward_skb(end->other, skb) == NET_RX_SUCCESS) {
		dev->stats.tx_packets++;
		dev->stats.tx_bytes += length;
		end->other->stats.rx_packets++;
		end->other->stats.rx_bytes += length;
	} else {
		dev->stats.tx_dropped++;
	}
	return NETDEV_TX_OK;
}

static int port_parent_id(struct net_device *dev, struct netdev_phys_item_id *id)
{
	*id = switch_id;
	return 0;
}

static int representor_port_name(struct net_device *dev, char *name, size_t size)
{
	struct end *end = netdev_priv(dev);

	return snprintf(name, size, "pf%uvf%u", port, end->vf) >= size ? -EINVAL : 0;
}

static int uplink_port_name(struct net_device *dev, char *name, size_t size)
{
	return snprintf(name, size, "p%u", port) >= size ? -EINVAL : 0;
}

static const struct net_device_ops representor_ops = {
	.ndo_start_xmit = end_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_get_port_parent_id = port_parent_id,
	.ndo_get_phys_port_name = representor_port_name,
};

static const struct net_device_ops far_ops = {
	.ndo_start_xmit = end_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static struct net_device *new_end(unsigned int vf, bool far)
{
	struct net_device *dev = alloc_etherdev(sizeof(struct end));
	struct end *end;

	if (!dev)
		return NULL;
	snprintf(dev->name, IFNAMSIZ, "pf%uvf%u%s", port, vf, far ? "-far" : "");
	dev->netdev_ops = far ? &far_ops : &representor_ops;
	dev->max_mtu = ETH_MAX_MTU;
	eth_hw_addr_random(dev);
	end = netdev_priv(dev);
	end->vf = vf;
	if (!far)
		SET_NETDEV_DEV(dev, &pf_pci->dev);
	return dev;
}

static void remove_ports(void)
{
	unsigned int i;

	for (i = 0; i < 2 * vfs; i++)
		if (ports[i] && ports[i]->reg_state == NETREG_REGISTERED)
			unregister_netdev(ports[i]);
	/* Only now can no end be forwarding to another. */
	for (i = 0; i < 2 * vfs; i++)
		if (ports[i])
			free_netdev(ports[i]);
	kfree(ports);
}

static int add_ports(void)
{
	unsigned int i;
	int err;

	ports = kcalloc(2 * vfs, sizeof(*ports), GFP_KERNEL);
	if (!ports)
		return -ENOMEM;
	for (i = 0; i < 2 * vfs; i++) {
		ports[i] = new_end(i / 2, i % 2);
		if (!ports[i]) {
			remove_ports();
			return -ENOMEM;
		}
	}
	for (i = 0; i < 2 * vfs; i++) {
		((struct end *)netdev_priv(ports[i]))->other = ports[i ^ 1];
		err = register_netdev(ports[i]);
		if (err) {
			remove_ports();
			return err;
		}
	}
	return 0;
}

static int __init representor_init(void)
{
	unsigned int domain, bus, slot, function;
	struct net_device *dev;
	int err;

	if (!pf || sscanf(pf, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return -EINVAL;
	pf_pci = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!pf_pci)
		return -ENODEV;

	rtnl_lock();
	for_each_netdev(&init_net, dev)
		if (dev->dev.parent == &pf_pci->dev)
			uplink = dev;
	if (uplink) {
		switch_id.id_len = ETH_ALEN;
		memcpy(switch_id.id, uplink->perm_addr, ETH_ALEN);
		uplink_own_ops = uplink->netdev_ops;
		uplink_ops = *uplink_own_ops;
		uplink_ops.ndo_get_port_parent_id = port_parent_id;
		uplink_ops.ndo_get_phys_port_name = uplink_port_name;
		uplink->netdev_ops = &uplink_ops;
	}
	rtnl_unlock();

	err = uplink ? add_ports() : -ENODEV;
	if (err) {
		if (uplink)
			uplink->netdev_ops = uplink_own_ops;
		pci_dev_put(pf_pci);
	}
	return err;
}

static void __exit representor_exit(void)
{
	remove_ports();
	rtnl_lock();
	uplink->netdev_ops = uplink_own_ops;
	rtnl_unlock();
	pci_dev_put(pf_pci);
}

module_init(representor_init);
module_exit(representor_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Switchdev's sysfs layout and representors on a NIC without them");
