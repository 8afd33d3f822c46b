# Stands for NetworkManager on the bus: its property Metered is the argument. Says "there" once it has the name.
import sys
import dbus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

NAME = "org.freedesktop.NetworkManager"


class Manager(dbus.service.Object):
    @dbus.service.method("org.freedesktop.DBus.Properties", in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        return dbus.UInt32(int(sys.argv[1]))


DBusGMainLoop(set_as_default=True)
bus = dbus.SystemBus()
name = dbus.service.BusName(NAME, bus)
Manager(bus, "/org/freedesktop/NetworkManager")
print("there", flush=True)
GLib.MainLoop().run()
